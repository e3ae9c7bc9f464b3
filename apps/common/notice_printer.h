// What a program has to say while it runs, on stderr.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace messenger::app {

// Prints from a thread of its own: whoever reads our stderr may stop reading,
// and neither of them may wait for that.
//
// Thread safety: all members may be called from any thread.
class NoticePrinter {
 public:
  // `program` stands before each notice; it must outlive this.
  explicit NoticePrinter(std::string_view program);
  // Waits until all is printed.
  ~NoticePrinter();
  NoticePrinter(const NoticePrinter&) = delete;
  NoticePrinter& operator=(const NoticePrinter&) = delete;

  // Does not block. Notices that find too many before them are counted instead.
  void Print(std::string_view notice) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);

  absl::Mutex mu_;
  absl::CondVar changed_;
  std::deque<std::string> notices_ ABSL_GUARDED_BY(mu_);
  std::size_t left_out_ ABSL_GUARDED_BY(mu_) = 0;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  const std::string_view program_;
  std::thread thread_;
};

}  // namespace messenger::app
