// Crashes a server again and again.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checker.h"
#include "directory_state.h"
#include "disk.h"
#include "history.h"
#include "messenger/client.h"
#include "options.h"
#include "producer.h"
#include "reader.h"
#include "support/seed.h"
#include "support/server_process.h"

namespace messenger::test {

// Thread safety: none.
class CrashTest {
 public:
  // Keeps its files in `directory`.
  CrashTest(const CrashOptions& options, std::string directory);

  // False when a promise was not kept: then it has printed what the clients
  // have seen there, and the file `history` in the directory has the last
  // rounds as a whole.
  bool Run();

  void PrintTotals() const;
  // How many rounds have hit what. False if something had to be hit, and never
  // was.
  bool PrintHits() const;

 private:
  enum class Hit : std::uint8_t {
    kCheckpoint,
    kRoll,
    kRetention,
    kJournals,
    kEntries,
    kSegment,
    kReplacement,
    kGarbage,
    kDropped,
    kOpening,
    kOpeningAgain,
    kOpened,
    kTorn,
    kPowerCutOpening,
    kRefused,
    kRefusedLater,
    kCount
  };

  bool RunRound(std::uint64_t number);
  // Ends with a server that is closed, and looks at what it leaves.
  bool Finish(std::uint64_t number);
  bool Judge(Round round);

  // ---- The server
  std::unique_ptr<ServerProcess> Start();
  // Null, and says so, if it does not come to listen.
  std::unique_ptr<ServerProcess> StartAndListen();
  // Ends the server while it opens the log, as often as chance will have it.
  void CrashOpenings();
  bool CrashOpening();
  // Kills it, or cuts the power, after which it is killed.
  void Crash(ServerProcess& server);
  void Stop(ServerProcess& server);
  void WaitUpTo(std::chrono::microseconds most);
  Round Begin(std::uint64_t number);

  // ---- Its clients
  static Client Connect(const ServerProcess& server);
  static std::vector<Reading> ReadAll(Client& client);
  // Sends and reads while `live` runs, which may end the server; then `stop`
  // makes those end who still can.
  void Load(const ServerProcess& server, Client& client, Round* round,
            const std::function<void()>& live);

  // ---- What was hit
  void Count(Hit hit) { hit_[static_cast<std::size_t>(hit)] = true; }
  void CountProgress(const DirectoryState& before, const DirectoryState& after);
  void CountNotices();
  void CountRefusals(const Checker::Totals& before);

  const CrashOptions options_;
  const std::string directory_;
  const std::string log_;
  const std::string notices_;
  std::optional<Disk> disk_;
  Random random_;
  std::vector<std::unique_ptr<Producer>> producers_;
  std::vector<Reader> readers_;
  Checker checker_;
  std::deque<Round> last_rounds_;
  bool retains_little_ = false;
  Ending ending_ = Ending::kNone;  // worst since the last round
  std::size_t notices_read_ = 0;   // of the file

  std::chrono::steady_clock::time_point began_ =
      std::chrono::steady_clock::now();
  std::uint64_t rounds_ = 0;
  std::uint64_t kills_ = 0;
  std::uint64_t power_cuts_ = 0;
  std::array<bool, static_cast<std::size_t>(Hit::kCount)> hit_{};
  std::array<std::uint64_t, static_cast<std::size_t>(Hit::kCount)> hits_{};
};

}  // namespace messenger::test
