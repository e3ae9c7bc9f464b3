// What those have in common who send some of it again, through several clients.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "history.h"
#include "messenger/client.h"
#include "sender.h"
#include "support/seed.h"

namespace messenger::test::chaos {

// Sends through its present client. That may be destroyed in the middle, as if
// its process had been killed, or have a successor while it is still sending.
// What remains to be sent again then is for the derived class to know.
class RepeatingSender : public Sender {
 public:
  // Connects a further client.
  using Connect = std::function<Client()>;

  bool AwaitSent(std::chrono::milliseconds patience) final;
  bool AwaitResults(std::chrono::milliseconds patience) final;
  Producer Take() final;

 protected:
  // The channels must live as long.
  RepeatingSender(Connect connect, const std::vector<std::string>& channels,
                  SenderOptions options);
  // Every derived class begins with its thread as the last thing that it makes,
  // and ends with it as the first thing that it destroys.
  void Begin();
  void End();

  // Sends some new messages, at least one.
  virtual void Step() = 0;
  // Sends again what has failed, so far.
  virtual void Repair() = 0;
  // Nothing is left to repair.
  virtual bool IsWhole() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;
  // A send through the present client has failed.
  virtual void OnFailure(const Sent& sent)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;

  // ---- Of the thread alone
  Random& random() { return random_; }
  const std::vector<std::string>& channels() const { return channels_; }
  const std::string& name() const { return options_.name; }
  std::uint64_t left() const { return options_.messages - number_; }
  // The last ones are sent without a break, so that a run does not end with
  // waiting for a network that is stuck.
  bool IsNearEnd() const { return left() < options_.messages / 8; }
  // The number of the next new message.
  std::uint32_t next() const { return number_ + 1; }
  Client& client() { return *client_; }
  // Sends a new message through the present client. Returns its number.
  std::uint32_t SendNew(const Sent& sent, const SendOptions& options);
  // The same through the last one that has a successor.
  void SendLate(const Sent& sent, const SendOptions& options);
  // Sends one again, through the present client.
  void SendAgain(std::uint32_t number, const SendOptions& options);
  // The present client is destroyed: what has no result fails.
  void Kill();
  // It has a successor, and is destroyed when all its results have come.
  // False if there are enough such.
  bool Replace();
  // Waits a moment. True if nothing is recorded any more: then it is to end.
  bool Rest();

  absl::Mutex mu_;
  absl::CondVar changed_;  // of what is below
  Producer producer_ ABSL_GUARDED_BY(mu_);
  bool taken_ ABSL_GUARDED_BY(mu_) = false;

 private:
  // One of those that it has, or had, by number.
  struct Numbered {
    int number;
    Client client;
  };

  void Run();
  // Until all results have come.
  void Finish();
  void SendThrough(Client* client, int client_number, std::uint32_t number,
                   const SendOptions& options, bool wait);
  std::uint32_t Add(const Sent& sent);
  void Note(std::uint32_t number, int client, bool async,
            const absl::StatusOr<Receipt>& result) ABSL_LOCKS_EXCLUDED(mu_);
  void NoteFailure(const absl::Status& status, bool is_present, Sent* sent)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Those of which all results have come.
  void DestroyReplaced();

  const Connect connect_;
  const std::vector<std::string>& channels_;
  const SenderOptions options_;
  Random random_;
  std::uint32_t number_ = 0;  // of the last message
  int client_number_ = 0;     // of the present client
  std::optional<Client> client_;
  std::vector<Numbered> replaced_;

  int present_ ABSL_GUARDED_BY(mu_) = 0;  // the number of the present client
  // How many results each client owes.
  std::map<int, std::uint64_t> owed_ ABSL_GUARDED_BY(mu_);
  std::uint32_t order_ ABSL_GUARDED_BY(mu_) = 0;
  bool sent_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace messenger::test::chaos
