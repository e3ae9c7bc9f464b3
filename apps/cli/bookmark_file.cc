#include "cli/bookmark_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <system_error>

#include "cli/errors.h"

namespace messenger::app {
namespace {

// Longer than any bookmark.
constexpr std::size_t kMostBytes = 512;

absl::Status Failed(std::string_view what, const std::string& path) {
  return absl::InternalError(
      fmt::format("cannot {} the bookmark {}: {}", what, path,
                  std::generic_category().message(errno)));
}

}  // namespace

absl::StatusOr<std::optional<Bookmark>> BookmarkFile::Load() const {
  const int fd = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return std::nullopt;
    return Failed("read", path_);
  }
  std::array<char, kMostBytes> bytes{};
  const ssize_t size = read(fd, bytes.data(), bytes.size());
  const absl::Status failed =
      size < 0 ? Failed("read", path_) : absl::OkStatus();
  close(fd);
  if (!failed.ok()) return failed;
  std::string_view line(bytes.data(), static_cast<std::size_t>(size));
  if (line.ends_with('\n')) line.remove_suffix(1);
  absl::StatusOr<Bookmark> bookmark = Bookmark::Parse(line);
  if (!bookmark.ok()) {
    constexpr std::string_view kField = "bookmark: ";
    std::string_view reason = MessageOf(bookmark.status());
    if (reason.starts_with(kField)) reason.remove_prefix(kField.size());
    return absl::InvalidArgumentError(fmt::format(
        "{} holds no bookmark ({}); remove it to begin anew", path_, reason));
  }
  return *std::move(bookmark);
}

absl::Status BookmarkFile::Save(const Bookmark& bookmark) const {
  const std::string line = bookmark.ToString() + "\n";
  const std::string replacement = path_ + ".new";
  const int fd =
      open(replacement.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return Failed("write", path_);
  errno = ENOSPC;  // of a write that is cut short
  bool ok =
      write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  ok = close(fd) == 0 && ok;
  ok = ok && std::rename(replacement.c_str(), path_.c_str()) == 0;
  return ok ? absl::OkStatus() : Failed("write", path_);
}

}  // namespace messenger::app
