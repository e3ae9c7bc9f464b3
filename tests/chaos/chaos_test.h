// Clients behind networks that fail, before a server that is killed and started
// again.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "checker.h"
#include "history.h"
#include "messenger/client.h"
#include "network.h"
#include "options.h"
#include "reader.h"
#include "repeating_sender.h"
#include "sender.h"
#include "support/seed.h"
#include "support/server_process.h"

namespace messenger::test::chaos {

class ChaosTest {
 public:
  // Keeps its files in `directory`.
  ChaosTest(const ChaosOptions& options, std::string directory);

  // False when a promise was not kept: then it has printed what everybody has
  // seen there. Throws if it cannot go on, and must not be destroyed then:
  // threads may wait for ever to send.
  bool Run();
  // After that: leaves no server behind.
  void Abandon();

  // False if something that had to happen never did.
  bool PrintTotals() const;

 private:
  struct Row {
    std::uint64_t count;
    std::string_view what;
  };
  std::vector<Row> Rows() const;
  void PrintResumeTimes() const;

  // ---- The server
  // Waits until it listens, and lets the clients know where.
  void StartServer();
  void KillServer();
  void StopServer();
  // Something of this goes wrong with it: it is killed, or ended, and started
  // again; or it hangs for a while.
  void DisturbServer();
  void EndHang();

  // ---- Its clients
  ClientOptions OptionsOf(std::size_t client) const;
  void StartReaders();
  void StartSenders();
  std::unique_ptr<Sender> StartSender(std::size_t number);
  // Makes the clients of a sender, one after the other, behind different
  // proxies. Empty: no named producer.
  RepeatingSender::Connect Connector(std::size_t client,
                                     const std::string& producer_name) const;
  // If they are restless: one of the readers stalls, or begins anew.
  void DisturbReader();
  // How many streams the server has for them.
  void LookAtStreams();

  // ---- The run
  // Until all is sent.
  void Disturb();
  // Until all that was sent has come where it was to.
  void Settle();
  // What is there, read without a proxy.
  void ReadTruth();
  // Named producers are opened once more, so that they tell what is there.
  void OpenProducers();
  bool Judge();

  const ChaosOptions options_;
  const std::string directory_;
  Random random_;
  std::vector<std::string> channels_;
  std::vector<std::string> names_;  // of the senders
  Network network_;
  std::unique_ptr<ServerProcess> server_;

  // Of all clients that read, channel by channel.
  std::vector<std::unique_ptr<Recorder>> recorders_;
  std::vector<std::unique_ptr<Reader>> readers_;  // for one recorder each
  std::vector<std::unique_ptr<Sender>> senders_;

  History history_;
  Verdict verdict_;
  std::uint64_t kills_ = 0;
  std::uint64_t stops_ = 0;
  std::uint64_t hangs_ = 0;
  std::uint64_t stalls_ = 0;
  std::uint64_t begun_anew_ = 0;
  // Looks at which each client that reads had one stream, or more than that.
  std::uint64_t looks_at_one_ = 0;
  std::uint64_t looks_at_more_ = 0;
  Clock::time_point hangs_until_ = Clock::time_point::max();
  Clock::time_point began_;
  Clock::duration under_load_{};
  Clock::duration settling_{};
};

}  // namespace messenger::test::chaos
