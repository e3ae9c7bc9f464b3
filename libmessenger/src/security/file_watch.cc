#include "security/file_watch.h"

#include <sys/stat.h>

#include <utility>

#include "security/files.h"

namespace messenger {
namespace {

std::int64_t Nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

FileWatch::FileWatch(std::vector<File> files)
    : files_([&files] {
        std::erase_if(files,
                      [](const File& file) { return file.path.empty(); });
        return std::move(files);
      }()),
      read_(Look()) {}

std::string FileWatch::Names() const {
  std::string names;
  for (const File& file : files_) {
    names += (names.empty() ? "" : " and ") + file.path;
  }
  return names;
}

FileWatch::Contents FileWatch::Read() const {
  Contents contents;
  for (const auto& [option, path] : files_) {
    contents.emplace(option, ReadOptionFile(option, path));
  }
  return contents;
}

void FileWatch::Start(Callbacks callbacks) {
  callbacks_ = std::move(callbacks);
  thread_ = std::thread([this] { Run(); });
}

void FileWatch::Stop() {
  if (!thread_.joinable()) return;
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    stopped_.Signal();
  }
  thread_.join();
}

FileWatch::Stamps FileWatch::Look() const {
  Stamps stamps;
  for (const File& file : files_) {
    struct stat status {};
    if (stat(file.path.c_str(), &status) != 0) {
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

void FileWatch::ReadAgain(const Stamps& now) {
  const Contents contents = Read();
  std::map<std::string_view, absl::Status> unread;
  for (const auto& [option, content] : contents) {
    if (!content.ok()) unread.emplace(option, content.status());
  }
  const bool is_news = now != read_ || unread != unread_;
  read_ = now;
  unread_ = std::move(unread);
  if (is_news) callbacks_.on_change(contents);
}

void FileWatch::Run() {
  Stamps last = read_;
  absl::MutexLock lock(&mu_);
  while (!stopping_) {
    const CondVar::Clock::time_point next = CondVar::After(kInterval);
    mu_.Unlock();
    Stamps now = Look();
    if (now == last && (now != read_ || !unread_.empty())) ReadAgain(now);
    last = std::move(now);
    if (callbacks_.on_look) callbacks_.on_look();
    mu_.Lock();
    while (!stopping_ && stopped_.WaitUntil(&mu_, next)) {
    }
  }
}

}  // namespace messenger
