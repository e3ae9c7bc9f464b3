#include "security/file_watch.h"

#include <sys/stat.h>

#include <utility>

namespace messenger {
namespace {

std::int64_t Nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

FileWatch::FileWatch(std::vector<std::string> paths)
    : paths_(std::move(paths)), told_(Look()) {}

FileWatch::~FileWatch() {
  if (!thread_.joinable()) return;
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    stopped_.Signal();
  }
  thread_.join();
}

void FileWatch::Start(Callbacks callbacks) {
  callbacks_ = std::move(callbacks);
  thread_ = std::thread([this] { Run(); });
}

FileWatch::Stamps FileWatch::Look() const {
  Stamps stamps;
  for (const std::string& path : paths_) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) {
      stamps.emplace_back();
      continue;
    }
    stamps.push_back({.exists = true,
                      .device = status.st_dev,
                      .inode = status.st_ino,
                      .size = status.st_size,
                      .modified = Nanoseconds(status.st_mtim),
                      .changed = Nanoseconds(status.st_ctim)});
  }
  return stamps;
}

void FileWatch::Run() {
  Stamps last = told_;
  absl::MutexLock lock(&mu_);
  while (!stopping_) {
    const CondVar::Clock::time_point next = CondVar::After(kInterval);
    mu_.Unlock();
    Stamps now = Look();
    if (now == last && now != told_) {
      told_ = now;
      callbacks_.on_change();
    }
    last = std::move(now);
    if (callbacks_.on_look) callbacks_.on_look();
    mu_.Lock();
    while (!stopping_ && stopped_.WaitUntil(&mu_, next)) {
    }
  }
}

}  // namespace messenger
