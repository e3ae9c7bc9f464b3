// Files that an operator changes while the program runs: the values of options.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
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

  struct File {
    std::string_view option;
    std::string path;
  };
  // What is in the file of each option, as ReadOptionFile returns it.
  using Contents = std::map<std::string_view, absl::StatusOr<std::string>>;

  struct Callbacks {
    // One of them has changed since they were read last, and none within the
    // last interval: files that belong together are seldom replaced in one
    // step. One that could not be read is tried again at each look, since what
    // has failed may be no fault of the file, and this is called again once it
    // fails in another way, or no longer.
    std::function<void(const Contents&)> on_change;
    // At each look, after the other one. May be empty.
    std::function<void()> on_look = nullptr;
  };

  // Those without a path are left out.
  explicit FileWatch(std::vector<File> files);
  ~FileWatch() { Stop(); }
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  bool empty() const { return files_.empty(); }
  // "PATH and PATH", for notices.
  std::string Names() const;
  // Blocks.
  Contents Read() const;

  // Tells of changes since it was constructed. At most once.
  void Start(Callbacks callbacks);
  // Waits until no callback runs. From then on none is called.
  void Stop();

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
  void ReadAgain(const Stamps& now);
  void Run();

  const std::vector<File> files_;
  Callbacks callbacks_;
  // As they were when they were read last, and of which that failed, and how.
  Stamps read_;
  std::map<std::string_view, absl::Status> unread_;
  absl::Mutex mu_;
  CondVar stopped_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace messenger
