// A file system that ignores case, as some do: names are kept as they were
// created, and found however they are written.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "log/durable/file_system.h"

namespace messenger::test {

// In front of another one. Thread safety: that of `files`, but for names that
// are created at the same time and differ by case alone.
class FoldingFileSystem final : public FileSystem {
 public:
  explicit FoldingFileSystem(std::shared_ptr<FileSystem> files)
      : files_(std::move(files)) {}

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path,
                                             Mode mode) override {
    return files_->Open(Folded(path), mode);
  }
  absl::Status CreateDirectory(const std::string& path) override {
    return files_->CreateDirectory(Folded(path));
  }
  absl::StatusOr<std::vector<std::string>> List(
      const std::string& directory) override {
    return files_->List(Folded(directory));
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    return files_->Rename(Folded(from), Folded(to));
  }
  absl::Status Remove(const std::string& path) override {
    return files_->Remove(Folded(path));
  }
  absl::Status SyncDirectory(const std::string& path) override {
    return files_->SyncDirectory(Folded(path));
  }
  absl::Status SyncAll(const std::string& path) override {
    return files_->SyncAll(Folded(path));
  }
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(
      const std::string& path) override {
    return files_->Lock(Folded(path));
  }
  absl::StatusOr<std::unique_ptr<FileLock>> LockToRead(
      const std::string& path) override {
    return files_->LockToRead(Folded(path));
  }

 private:
  std::string Folded(std::string_view path) const {
    std::string found;
    while (!path.empty()) {
      path.remove_prefix(1);  // the slash
      const std::string_view name = path.substr(0, path.find('/'));
      path.remove_prefix(name.size());
      std::string present(name);
      const auto names = files_->List(found.empty() ? "/" : found);
      if (names.ok()) {
        for (const std::string& other : *names) {
          if (absl::EqualsIgnoreCase(other, present)) present = other;
        }
      }
      found += "/" + present;
    }
    return found;
  }

  const std::shared_ptr<FileSystem> files_;
};

}  // namespace messenger::test
