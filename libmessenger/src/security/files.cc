#include "security/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "base/status.h"
#include "security/fields.h"

namespace messenger {
namespace {

constexpr mode_t kPrivate = 0600;
constexpr mode_t kModeBits = 07777;
constexpr int kMostAttempts = 1000;

absl::StatusCode CodeOfFailure(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::Status FileFailure(std::string_view path, std::string_view operation,
                         int error) {
  const std::string text = fmt::format("{}: {}: {}", path, operation,
                                       std::generic_category().message(error));
  return {CodeOfFailure(error), text};
}

// What `call` returns once no signal interrupts it.
template <typename Call>
auto UntilDone(Call call) {
  while (true) {
    const auto result = call();
    if (result != -1 || errno != EINTR) return result;
  }
}

Descriptor OpenDescriptor(const std::string& path, int flags, mode_t mode = 0) {
  return Descriptor(UntilDone(
      [&] { return open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, mode); }));
}

// A FIFO in its place would block, and so would a device.
absl::StatusOr<Descriptor> OpenRegular(const std::string& path, int flags) {
  Descriptor file = OpenDescriptor(path, flags | O_NONBLOCK);
  if (!file.valid()) return FileFailure(path, "open", errno);
  struct stat info = {};
  if (fstat(file.get(), &info) == -1) return FileFailure(path, "stat", errno);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(fmt::format("{}: is no file", path));
  }
  return file;
}

absl::StatusOr<std::string> ReadAll(int file, const std::string& path) {
  std::string contents;
  std::array<char, 16384> buffer{};
  while (true) {
    const ssize_t n = UntilDone([&] {
      return pread(file, buffer.data(), buffer.size(),
                   static_cast<off_t>(contents.size()));
    });
    if (n == -1) return FileFailure(path, "read", errno);
    if (n == 0) return contents;
    contents.append(buffer.data(), static_cast<std::size_t>(n));
    if (contents.size() > kMaxSecurityFileSize) {
      return absl::InvalidArgumentError(
          fmt::format("{}: has more than the {} bytes that are allowed", path,
                      kMaxSecurityFileSize));
    }
  }
}

absl::Status WriteAll(int file, const std::string& path,
                      std::string_view contents) {
  while (!contents.empty()) {
    const ssize_t n = UntilDone(
        [&] { return write(file, contents.data(), contents.size()); });
    if (n == -1) return FileFailure(path, "write", errno);
    contents.remove_prefix(static_cast<std::size_t>(n));
  }
  if (UntilDone([&] { return fsync(file); }) == -1) {
    return FileFailure(path, "sync", errno);
  }
  return absl::OkStatus();
}

absl::Status SyncPath(const std::string& directory) {
  const Descriptor opened = OpenDescriptor(directory, O_RDONLY | O_DIRECTORY);
  if (!opened.valid() || UntilDone([&] { return fsync(opened.get()); }) == -1) {
    return FileFailure(directory, "sync", errno);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> RealPath(const std::string& path) {
  std::array<char, PATH_MAX> real{};
  if (realpath(path.c_str(), real.data()) == nullptr) {
    return FileFailure(path, "resolve", errno);
  }
  return std::string(real.data());
}

bool LeadsNowhere(const std::string& link) {
  struct stat info = {};
  return lstat(link.c_str(), &info) == 0 && S_ISLNK(info.st_mode) &&
         stat(link.c_str(), &info) == -1 && errno == ENOENT;
}

// Whether the file that is open is still the one with this name.
bool IsAt(int file, const std::string& path) {
  struct stat opened = {};
  struct stat named = {};
  return fstat(file, &opened) == 0 && stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

absl::StatusOr<Descriptor> CreatePrivate(const std::string& path) {
  Descriptor file = OpenDescriptor(path, O_RDWR | O_CREAT | O_EXCL, kPrivate);
  // The umask may have taken something of it.
  if (!file.valid() || fchmod(file.get(), kPrivate) == -1) {
    return FileFailure(path, "create", errno);
  }
  return file;
}

}  // namespace

std::string DirectoryOf(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::optional<std::string> ExposureOf(const std::string& path) {
  constexpr mode_t kOthers = S_IRWXG | S_IRWXO;
  struct stat info = {};
  if (stat(path.c_str(), &info) == -1 || (info.st_mode & kOthers) == 0) {
    return std::nullopt;
  }
  return fmt::format("others can read or change {} (mode {:04o}): chmod 600 {}",
                     path, info.st_mode & kModeBits, path);
}

absl::StatusOr<std::string> ReadSecurityFile(const std::string& path) {
  const absl::StatusOr<Descriptor> file = OpenRegular(path, O_RDONLY);
  if (!file.ok()) return file.status();
  return ReadAll(file->get(), path);
}

absl::StatusOr<std::string> ReadOptionFile(std::string_view option,
                                           const std::string& path) {
  auto contents = ReadSecurityFile(path);
  if (!contents.ok()) return WrongOption(option, contents.status());
  return contents;
}

absl::StatusOr<LockedFile> LockedFile::Open(const std::string& path,
                                            IfMissing if_missing) {
  // The lock is that of the file itself, which nobody else may open: anybody
  // who can read a directory could hold a lock on it. Whoever has waited may
  // have got a file that was replaced meanwhile, and tries again.
  for (int i = 0; i < kMostAttempts; ++i) {
    bool is_new = false;
    absl::StatusOr<Descriptor> file = OpenRegular(path, O_RDWR);
    if (absl::IsNotFound(file.status()) && if_missing == IfMissing::kCreate) {
      file = CreatePrivate(path);
      if (absl::IsAlreadyExists(file.status())) {
        // Another one has made it, unless it is not there all the same.
        if (LeadsNowhere(path)) {
          return absl::NotFoundError(fmt::format(
              "{}: is a symbolic link to something that is not there", path));
        }
        continue;
      }
      is_new = file.ok();
    }
    if (!file.ok()) return file.status();
    if (UntilDone([&] { return flock(file->get(), LOCK_EX); }) == -1) {
      return FileFailure(path, "lock", errno);
    }
    const absl::StatusOr<std::string> real = RealPath(path);
    if (!real.ok() && !absl::IsNotFound(real.status())) return real.status();
    if (real.ok() && IsAt(file->get(), *real)) {
      return LockedFile(*real, *std::move(file), is_new);
    }
  }
  return absl::AbortedError(
      fmt::format("{}: lock: it is replaced again and again", path));
}

LockedFile::LockedFile(LockedFile&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::move(other.file_)),
      is_new_(std::exchange(other.is_new_, false)),
      beside_(std::exchange(other.beside_, {})) {}

LockedFile::~LockedFile() {
  if (!beside_.empty()) unlink(beside_.c_str());
  if (is_new_) unlink(path_.c_str());
}

absl::StatusOr<std::string> LockedFile::Read() const {
  return ReadAll(file_.get(), path_);
}

absl::Status LockedFile::Replace(std::string_view contents) {
  absl::Status s = Prepare(contents);
  if (s.ok()) s = Commit();
  return s.ok() ? Sync() : s;
}

absl::Status LockedFile::Prepare(std::string_view contents) {
  struct stat info = {};
  if (fstat(file_.get(), &info) == -1) return FileFailure(path_, "stat", errno);
  std::string beside = fmt::format("{}/.{}.messenger-new", DirectoryOf(path_),
                                   path_.substr(path_.find_last_of('/') + 1));
  // What was left of a command that was cut off: this one has the lock.
  unlink(beside.c_str());
  absl::StatusOr<Descriptor> file = CreatePrivate(beside);
  if (!file.ok()) return file.status();
  beside_ = std::move(beside);
  // The mode last: a change of the owner may take something of it.
  if (fchown(file->get(), info.st_uid, info.st_gid) == -1) {
    return FileFailure(path_, "keep its owner", errno);
  }
  if (fchmod(file->get(), info.st_mode & kModeBits) == -1) {
    return FileFailure(path_, "keep its mode", errno);
  }
  return WriteAll(file->get(), beside_, contents);
}

absl::Status LockedFile::Commit() {
  if (rename(beside_.c_str(), path_.c_str()) == -1) {
    return FileFailure(path_, "replace", errno);
  }
  beside_.clear();
  is_new_ = false;
  return absl::OkStatus();
}

absl::Status LockedFile::Sync() {
  return SyncPath(DirectoryOf(path_));
}

NewFiles::~NewFiles() {
  for (const std::string& path : files_) unlink(path.c_str());
  for (const std::string& path : directories_) rmdir(path.c_str());
}

absl::Status NewFiles::CreateDirectory(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0) {
    directories_.push_back(path);
    if (chmod(path.c_str(), mode) == 0) return absl::OkStatus();
    return FileFailure(path, "change its mode", errno);
  }
  const int error = errno;
  struct stat info = {};
  if (error == EEXIST && stat(path.c_str(), &info) == 0 &&
      S_ISDIR(info.st_mode)) {
    return absl::OkStatus();
  }
  return FileFailure(path, "create directory", error);
}

absl::Status NewFiles::Create(const std::string& path, mode_t mode,
                              std::string_view contents) {
  const absl::StatusOr<Descriptor> file = CreatePrivate(path);
  if (!file.ok()) return file.status();
  files_.push_back(path);
  if (fchmod(file->get(), mode) == -1) {
    return FileFailure(path, "change its mode", errno);
  }
  return WriteAll(file->get(), path, contents);
}

absl::Status NewFiles::Keep(const std::string& directory) {
  absl::Status s = SyncPath(directory);
  if (s.ok() && !directories_.empty()) s = SyncPath(DirectoryOf(directory));
  if (!s.ok()) return s;
  files_.clear();
  directories_.clear();
  return absl::OkStatus();
}

}  // namespace messenger
