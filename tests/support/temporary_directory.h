// A directory that goes with the object.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace messenger::test {

class TemporaryDirectory {
 public:
  // In `parent`, or where temporary files go if that is empty.
  explicit TemporaryDirectory(const std::filesystem::path& parent = {}) {
    // What mkdtemp wants at the end.
    constexpr std::size_t kPlaceholders = 6;
    path_ = (parent.empty() ? std::filesystem::temp_directory_path() : parent) /
            ("messenger." + std::string(kPlaceholders, 'X'));
    if (mkdtemp(path_.data()) == nullptr) {
      throw std::system_error(errno, std::generic_category(), path_);
    }
  }
  ~TemporaryDirectory() {
    if (kept_) return;
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }

  // It stays, for whoever wants to look into it.
  void Keep() { kept_ = true; }

 private:
  std::string path_;
  bool kept_ = false;
};

}  // namespace messenger::test
