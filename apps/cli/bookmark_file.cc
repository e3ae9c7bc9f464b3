#include "apps/cli/bookmark_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <string_view>
#include <system_error>
#include <utility>

#include "apps/common/status_text.h"

namespace messenger::app {
namespace {

// Longer than any bookmark.
constexpr std::size_t kMostBytes = 512;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }

  int get() const { return fd_; }
  // Whether that went well.
  bool Close() { return close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

absl::Status Failed(std::string_view what, const std::string& path) {
  return absl::InternalError(
      fmt::format("cannot {} the bookmark {}: {}", what, path,
                  std::generic_category().message(errno)));
}

std::string_view KindOf(mode_t mode) {
  if (S_ISLNK(mode)) return "a symbolic link; name the file itself";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

// Nothing if there is no such file. Waits for nobody, and follows no link.
absl::StatusOr<std::optional<std::string>> ReadBytes(const std::string& path) {
  struct stat info = {};
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return std::nullopt;
    return Failed("read", path);
  }
  if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
    return absl::InternalError(fmt::format("cannot read the bookmark {}: is {}",
                                           path, KindOf(info.st_mode)));
  }
  const Descriptor file(open(
      path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (file.get() < 0) return Failed("read", path);
  std::array<char, kMostBytes> bytes{};
  const ssize_t size = read(file.get(), bytes.data(), bytes.size());
  if (size < 0) return Failed("read", path);
  return std::string(bytes.data(), static_cast<std::size_t>(size));
}

absl::StatusOr<Bookmark> ParseBookmarkLine(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  return Bookmark::Parse(line);
}

// Removes what a run that was killed has left there. What is anything else is
// somebody's.
absl::Status MakeWay(const std::string& replacement) {
  const auto left = ReadBytes(replacement);
  if (!left.ok()) return left.status();
  if (!*left) return absl::OkStatus();
  const bool ours = (*left)->find_first_not_of('\0') == std::string::npos ||
                    ParseBookmarkLine(**left).ok();
  if (!ours) {
    return absl::FailedPreconditionError(fmt::format(
        "cannot write the bookmark: {} is in the way, and holds something else",
        replacement));
  }
  return unlink(replacement.c_str()) == 0 || errno == ENOENT
             ? absl::OkStatus()
             : Failed("write", replacement);
}

}  // namespace

absl::StatusOr<std::optional<Bookmark>> BookmarkFile::Load() const {
  const absl::StatusOr<std::optional<std::string>> bytes = ReadBytes(path_);
  if (!bytes.ok()) return bytes.status();
  if (!*bytes) return std::nullopt;
  absl::StatusOr<Bookmark> bookmark = ParseBookmarkLine(**bytes);
  if (!bookmark.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("{} holds no bookmark ({}); remove it to begin anew", path_,
                    MessageOf(bookmark.status(), "bookmark")));
  }
  return *std::move(bookmark);
}

absl::Status BookmarkFile::Save(const Bookmark& bookmark) const {
  const std::string line = bookmark.ToString() + "\n";
  const std::string replacement = path_ + ".new";
  constexpr int kNew = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  int fd = open(replacement.c_str(), kNew, 0666);
  if (fd < 0 && errno == EEXIST) {
    if (absl::Status s = MakeWay(replacement); !s.ok()) return s;
    fd = open(replacement.c_str(), kNew, 0666);
  }
  if (fd < 0) return Failed("write", path_);
  Descriptor file(fd);
  errno = ENOSPC;  // of a write that is cut short
  const bool written = write(fd, line.data(), line.size()) ==
                           static_cast<ssize_t>(line.size()) &&
                       fdatasync(fd) == 0 && file.Close() &&
                       std::rename(replacement.c_str(), path_.c_str()) == 0;
  if (!written) return Failed("write", path_);
  // The name, too, so that what comes after a power cut is not older than what
  // was printed.
  const std::size_t slash = path_.rfind('/');
  const std::string parent =
      slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  const Descriptor directory(
      open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return directory.get() >= 0 && fsync(directory.get()) == 0
             ? absl::OkStatus()
             : Failed("write", path_);
}

}  // namespace messenger::app
