// Room on the disk that is kept for what must go on when the disk is full.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "log/durable/file_system.h"

namespace messenger {

// A file that takes the room. Deleting channels, writing checkpoints and
// opening the log borrow it: it is given free for them, and taken again as soon
// as there is room. Until then nothing may be appended, or that would use it
// up.
//
// Where a file system cannot reserve room, there is no reserve, and `Ready` is
// always true.
//
// Thread safety: all members may be called from any thread. All wait for the
// disk, `Ready` only when the room is lent.
class Reserve {
 public:
  // Keeps nothing before the first Keep.
  Reserve(std::shared_ptr<FileSystem> files, std::string path);
  ~Reserve() = default;
  Reserve(const Reserve&) = delete;
  Reserve& operator=(const Reserve&) = delete;

  // Keeps so much from now on; zero: nothing.
  void Keep(std::uint64_t size) ABSL_LOCKS_EXCLUDED(mu_);

  // Whether it is whole. Takes what is missing if that is possible.
  bool Ready() ABSL_LOCKS_EXCLUDED(mu_);

  // Gives the room free for as long as it lives.
  class Loan {
   public:
    explicit Loan(Reserve* reserve);
    ~Loan();
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;

   private:
    Reserve* const reserve_;
  };

  // What `run` returns; if the disk is full, what it returns with the room of
  // the reserve.
  template <typename Run>
  auto LendTo(Run run) {
    auto result = run();
    if (!absl::IsResourceExhausted(StatusOf(result))) return result;
    const Loan loan(this);
    return run();
  }

 private:
  static const absl::Status& StatusOf(const absl::Status& status) {
    return status;
  }
  template <typename Value>
  static const absl::Status& StatusOf(const absl::StatusOr<Value>& value) {
    return value.status();
  }

  void Take() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::shared_ptr<FileSystem> files_;
  const std::string path_;
  std::atomic<bool> ready_{true};
  absl::Mutex mu_;
  std::uint64_t size_ ABSL_GUARDED_BY(mu_) = 0;
  std::unique_ptr<File> file_ ABSL_GUARDED_BY(mu_);
  int loans_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace messenger
