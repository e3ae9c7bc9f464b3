#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <system_error>
#include <utility>

#include "log/durable/file_system.h"
#include "log/durable/file_util.h"

namespace messenger {
namespace {

constexpr mode_t kFileMode = 0640;
constexpr mode_t kDirectoryMode = 0750;

// What `call` returns once no signal interrupts it.
template <typename Call>
auto Uninterrupted(Call call) {
  while (true) {
    const auto result = call();
    if (result != -1 || errno != EINTR) return result;
  }
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor& operator=(Descriptor&&) = delete;
  // Linux closes it even if it reports EINTR.
  ~Descriptor() {
    if (fd_ != -1) close(fd_);
  }

  int get() const { return fd_; }

 private:
  int fd_;
};

absl::StatusOr<Descriptor> OpenDescriptor(const std::string& path, int flags,
                                          std::string_view operation) {
  const int fd = Uninterrupted(
      [&] { return open(path.c_str(), flags | O_CLOEXEC, kFileMode); });
  if (fd == -1) return FileError(path, operation, errno);
  Descriptor descriptor(fd);
  if (fd > STDERR_FILENO) return descriptor;
  // The program has closed a standard stream, and may write to it all the same.
  const int other = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (other == -1) return FileError(path, operation, errno);
  return Descriptor(other);
}

class PosixFile final : public File {
 public:
  PosixFile(std::string path, Descriptor descriptor)
      : path_(std::move(path)), descriptor_(std::move(descriptor)) {}

  absl::StatusOr<std::size_t> Read(std::uint64_t offset, char* out,
                                   std::size_t size) override {
    std::size_t done = 0;
    while (done < size) {
      const ssize_t n = Uninterrupted([&] {
        return pread(fd(), out + done, size - done,
                     static_cast<off_t>(offset + done));
      });
      if (n == -1) return FileError(path_, "read", errno);
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

  absl::Status Write(std::uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = Uninterrupted([&] {
        return pwrite(fd(), bytes.data(), bytes.size(),
                      static_cast<off_t>(offset));
      });
      if (n == -1) return FileError(path_, "write", errno);
      bytes.remove_prefix(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    if (Uninterrupted([&] { return fdatasync(fd()); }) == -1) {
      return FileError(path_, "sync", errno);
    }
    return absl::OkStatus();
  }

  absl::Status Truncate(std::uint64_t size) override {
    if (Uninterrupted(
            [&] { return ftruncate(fd(), static_cast<off_t>(size)); }) == -1) {
      return FileError(path_, "truncate", errno);
    }
    return absl::OkStatus();
  }

  // Not posix_fallocate: where the file system cannot reserve room, that one
  // writes to every block instead.
  absl::Status Allocate(std::uint64_t size) override {
    absl::StatusOr<std::uint64_t> present = Size();
    if (!present.ok()) return present.status();
    if (size <= *present) return absl::OkStatus();
    if (Uninterrupted([&] {
          return fallocate(fd(), 0, 0, static_cast<off_t>(size));
        }) == -1) {
      return FileError(path_, "allocate", errno);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::uint64_t> Size() override {
    struct stat info = {};
    if (fstat(fd(), &info) == -1) return FileError(path_, "size", errno);
    return static_cast<std::uint64_t>(info.st_size);
  }

  void WillNeed(std::uint64_t offset, std::size_t size) override {
    posix_fadvise(fd(), static_cast<off_t>(offset), static_cast<off_t>(size),
                  POSIX_FADV_WILLNEED);
  }

 private:
  int fd() const { return descriptor_.get(); }

  const std::string path_;
  const Descriptor descriptor_;
};

// flock, not fcntl: that one's locks do not exclude each other within a
// process, and closing any descriptor of the file drops them.
class PosixFileLock final : public FileLock {
 public:
  explicit PosixFileLock(std::unique_ptr<PosixFile> file)
      : file_(std::move(file)) {}

 private:
  const std::unique_ptr<PosixFile> file_;
};

absl::Status LockedByOther(const std::string& path, PosixFile& file) {
  std::array<char, 16> text{};
  const absl::StatusOr<std::size_t> size =
      file.Read(0, text.data(), text.size());
  pid_t holder = 0;
  if (size.ok()) {
    std::from_chars(text.data(), text.data() + *size, holder);
  }
  // The holder may be between locking the file and writing to it.
  return absl::FailedPreconditionError(
      holder == 0 ? fmt::format("{}: is locked by another process", path)
                  : fmt::format("{}: is locked by process {}", path, holder));
}

class PosixFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path,
                                             Mode mode) override {
    absl::StatusOr<Descriptor> descriptor =
        OpenDescriptor(path, FlagsOf(mode), "open");
    if (!descriptor.ok()) return descriptor.status();
    return std::make_unique<PosixFile>(path, *std::move(descriptor));
  }

  absl::Status CreateDirectory(const std::string& path) override {
    if (mkdir(path.c_str(), kDirectoryMode) == 0) return absl::OkStatus();
    const int error = errno;
    struct stat info = {};
    if (error == EEXIST && stat(path.c_str(), &info) == 0 &&
        S_ISDIR(info.st_mode)) {
      return absl::OkStatus();
    }
    return FileError(path, "create directory", error);
  }

  absl::StatusOr<std::vector<std::string>> List(
      const std::string& directory) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(directory.c_str()),
                                                     closedir);
    if (stream == nullptr) return FileError(directory, "list", errno);
    std::vector<std::string> names;
    while (true) {
      errno = 0;
      // Safe, since no other thread uses this stream.
      const dirent* const entry =
          readdir(stream.get());  // NOLINT(concurrency-mt-unsafe)
      if (entry == nullptr) break;
      std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(std::move(name));
    }
    if (errno != 0) return FileError(directory, "list", errno);
    return names;
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (std::rename(from.c_str(), to.c_str()) == -1) {
      return FileError(from, fmt::format("rename to {}", to), errno);
    }
    return absl::OkStatus();
  }

  absl::Status Remove(const std::string& path) override {
    if (std::remove(path.c_str()) == -1) {
      return FileError(path, "remove", errno);
    }
    return absl::OkStatus();
  }

  absl::Status SyncDirectory(const std::string& path) override {
    constexpr std::string_view kOperation = "sync directory";
    absl::StatusOr<Descriptor> directory =
        OpenDescriptor(path, O_RDONLY | O_DIRECTORY, kOperation);
    if (!directory.ok()) return directory.status();
    if (Uninterrupted([&] { return fsync(directory->get()); }) == -1) {
      return FileError(path, kOperation, errno);
    }
    return absl::OkStatus();
  }

  absl::Status SyncAll(const std::string& path) override {
    constexpr std::string_view kOperation = "sync file system";
    absl::StatusOr<Descriptor> directory =
        OpenDescriptor(path, O_RDONLY | O_DIRECTORY, kOperation);
    if (!directory.ok()) return directory.status();
    if (Uninterrupted([&] { return syncfs(directory->get()); }) == -1) {
      return FileError(path, kOperation, errno);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(
      const std::string& path) override {
    absl::StatusOr<Descriptor> descriptor =
        OpenDescriptor(path, O_RDWR | O_CREAT, "lock");
    if (!descriptor.ok()) return descriptor.status();
    const int fd = descriptor->get();
    const bool locked =
        Uninterrupted([&] { return flock(fd, LOCK_EX | LOCK_NB); }) == 0;
    if (!locked && errno != EWOULDBLOCK) return FileError(path, "lock", errno);

    auto file = std::make_unique<PosixFile>(path, *std::move(descriptor));
    if (!locked) return LockedByOther(path, *file);
    // Overwritten before it is cut, so that it is never seen empty, and a full
    // disk does not matter if it has been locked before.
    const std::string pid = fmt::format("{}\n", getpid());
    if (absl::Status s = file->Write(0, pid); !s.ok()) return s;
    if (absl::Status s = file->Truncate(pid.size()); !s.ok()) return s;
    return std::make_unique<PosixFileLock>(std::move(file));
  }

 private:
  static int FlagsOf(Mode mode) {
    switch (mode) {
      case Mode::kRead:
        return O_RDONLY;
      case Mode::kModify:
        return O_RDWR;
      case Mode::kCreate:
        break;
    }
    return O_RDWR | O_CREAT | O_TRUNC;
  }
};

}  // namespace

std::shared_ptr<FileSystem> FileSystem::Posix() {
  return std::make_shared<PosixFileSystem>();
}

}  // namespace messenger
