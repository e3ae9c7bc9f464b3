// A process that has no descriptors left.
#pragma once

#include <sys/resource.h>

namespace messenger::test {

// The limit of descriptors, while it lives. Those that are open stay.
//
// UndefinedBehaviorSanitizer takes a pipe to look at an object the first time
// that one of its class is used in a place: what happens under the limit has to
// have happened before.
class LowDescriptorLimit {
 public:
  explicit LowDescriptorLimit(rlim_t limit) {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit low = before_;
    low.rlim_cur = limit;
    setrlimit(RLIMIT_NOFILE, &low);
  }
  ~LowDescriptorLimit() { setrlimit(RLIMIT_NOFILE, &before_); }
  LowDescriptorLimit(const LowDescriptorLimit&) = delete;
  LowDescriptorLimit& operator=(const LowDescriptorLimit&) = delete;

 private:
  rlimit before_{};
};

}  // namespace messenger::test
