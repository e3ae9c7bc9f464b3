#include "apps/common/notice_printer.h"

#include <fmt/format.h>

#include <utility>

#include "apps/common/standard_streams.h"

namespace messenger::app {
namespace {

constexpr std::size_t kMaxWaiting = 1000;

}  // namespace

NoticePrinter::NoticePrinter(std::string_view program)
    : program_(program), thread_([this] { Run(); }) {}

NoticePrinter::~NoticePrinter() {
  {
    absl::MutexLock lock(&mu_);
    ending_ = true;
    changed_.Signal();
  }
  thread_.join();
}

void NoticePrinter::Print(std::string_view notice) {
  absl::MutexLock lock(&mu_);
  if (notices_.size() >= kMaxWaiting) {
    ++left_out_;
    return;
  }
  if (left_out_ > 0) {
    notices_.push_back(
        fmt::format("{} more notices", std::exchange(left_out_, 0)));
  }
  notices_.emplace_back(notice);
  changed_.Signal();
}

void NoticePrinter::Run() {
  while (true) {
    std::string notice;
    {
      absl::MutexLock lock(&mu_);
      while (notices_.empty() && !ending_) changed_.Wait(&mu_);
      if (notices_.empty()) return;
      notice = std::move(notices_.front());
      notices_.pop_front();
    }
    PrintError(program_, notice);
  }
}

}  // namespace messenger::app
