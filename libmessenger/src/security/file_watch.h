// Files that an operator changes while the program runs.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/cond_var.h"

namespace messenger {

// Looks at files several times a second, by name, so that it also notices one
// that was replaced, or is behind a symbolic link that was (as the secrets of
// Kubernetes are).
//
// Thread safety: none, but the callbacks are called on a thread of its own, one
// at a time.
class FileWatch {
 public:
  static constexpr std::chrono::milliseconds kInterval{200};

  struct Callbacks {
    // One of them has changed since the last call, and none within the last
    // interval: files that belong together are seldom replaced in one step.
    std::function<void()> on_change;
    // At each look, after the other one. May be empty.
    std::function<void()> on_look = nullptr;
  };

  // `paths` as they were read last, or are about to be.
  explicit FileWatch(std::vector<std::string> paths);
  // Stops, and waits until no callback runs.
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // At most once.
  void Start(Callbacks callbacks);

 private:
  // What is different if the file is.
  struct Stamp {
    bool exists = false;
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = 0;
    std::int64_t modified = 0;  // nanoseconds
    std::int64_t changed = 0;

    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  using Stamps = std::vector<Stamp>;

  Stamps Look() const;
  void Run();

  const std::vector<std::string> paths_;
  Callbacks callbacks_;
  Stamps told_;
  absl::Mutex mu_;
  CondVar stopped_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace messenger
