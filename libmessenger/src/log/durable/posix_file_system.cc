#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
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

// `path` is for the error.
absl::StatusOr<Descriptor> OpenIn(int directory, const char* name, int flags,
                                  const std::string& path,
                                  std::string_view operation) {
  const int fd = Uninterrupted([&] {
    return openat(directory, name, flags | O_CLOEXEC | O_NOCTTY, kFileMode);
  });
  if (fd == -1) return FileError(path, operation, errno);
  Descriptor descriptor(fd);
  if (fd > STDERR_FILENO) return descriptor;
  // The program has closed a standard stream, and may write to it all the same.
  const int other = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (other == -1) return FileError(path, operation, errno);
  return Descriptor(other);
}

// The directory of a log that is locked.
struct Root {
  std::string path;
  Descriptor descriptor;
  uid_t owner = 0;
};

// Where a path leads: to a name in a directory that is open.
class Location {
 public:
  // Not below a root: like the system itself, from the working directory on.
  explicit Location(std::string path) : path_(path), name_(std::move(path)) {}
  // In a directory below the root, or in the root itself if it has none.
  Location(std::string path, std::shared_ptr<const Root> root,
           std::shared_ptr<const Descriptor> directory, std::string name)
      : path_(std::move(path)),
        root_(std::move(root)),
        directory_(std::move(directory)),
        name_(std::move(name)) {}

  const std::string& path() const { return path_; }
  // For the calls that end with "at".
  int directory() const {
    if (directory_ != nullptr) return directory_->get();
    return root_ ? root_->descriptor.get() : AT_FDCWD;
  }
  const char* name() const { return name_.c_str(); }
  const Root* root() const { return root_.get(); }

 private:
  std::string path_;
  std::shared_ptr<const Root> root_;
  std::shared_ptr<const Descriptor> directory_;
  std::string name_;
};

std::string_view KindOf(mode_t mode) {
  if (S_ISREG(mode)) return "a file";
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISLNK(mode)) return "a symbolic link";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

// That there is something of this kind in the place of `wanted`.
absl::Status IsOther(const std::string& path, std::string_view operation,
                     mode_t mode, std::string_view wanted) {
  return absl::DataLossError(fmt::format(
      "{}: {}: is {}, {}", path, operation, KindOf(mode),
      S_ISLNK(mode)
          ? fmt::format("which is not followed here: put the {} itself there",
                        wanted)
          : fmt::format("where a log has a {}", wanted)));
}

absl::Status CheckOwner(const Location& at, std::string_view operation,
                        const struct stat& info) {
  if (info.st_uid == geteuid() || info.st_uid == 0) return absl::OkStatus();
  if (at.root() != nullptr && info.st_uid == at.root()->owner) {
    return absl::OkStatus();
  }
  return absl::DataLossError(fmt::format(
      "{}: {}: belongs to user {}, who is neither the one that runs this "
      "({}) nor the owner of the log's directory",
      at.path(), operation, info.st_uid, geteuid()));
}

absl::Status CheckFile(const Location& at, std::string_view operation,
                       const struct stat& info, bool writes) {
  if (S_ISDIR(info.st_mode)) return FileError(at.path(), operation, EISDIR);
  if (!S_ISREG(info.st_mode)) {
    return IsOther(at.path(), operation, info.st_mode, "file");
  }
  if (!writes) return absl::OkStatus();
  if (info.st_nlink > 1) {
    return absl::DataLossError(fmt::format(
        "{}: {}: has {} names (hard links), and writing to it would change "
        "the others: put a copy of it in its place",
        at.path(), operation, info.st_nlink));
  }
  return CheckOwner(at, operation, info);
}

absl::StatusOr<Descriptor> OpenAt(const Location& at, int flags,
                                  std::string_view operation) {
  return OpenIn(at.directory(), at.name(), flags, at.path(), operation);
}

// Looks before it opens, since opening alone may wait, or do something to a
// device; and afterwards, since it may have been replaced in between.
absl::StatusOr<Descriptor> OpenFile(const Location& at, int flags,
                                    std::string_view operation) {
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  struct stat info = {};
  if (fstatat(at.directory(), at.name(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
    absl::Status s = CheckFile(at, operation, info, writes);
    if (!s.ok()) return s;
  } else if (errno != ENOENT || (flags & O_CREAT) == 0) {
    return FileError(at.path(), operation, errno);
  }
  absl::StatusOr<Descriptor> descriptor =
      OpenAt(at, flags | O_NOFOLLOW | O_NONBLOCK, operation);
  if (!descriptor.ok()) return descriptor;
  if (fstat(descriptor->get(), &info) == -1) {
    return FileError(at.path(), operation, errno);
  }
  absl::Status s = CheckFile(at, operation, info, writes);
  if (!s.ok()) return s;
  return descriptor;
}

// Never through what is there already: a link goes, and what it leads to stays
// as it is.
absl::StatusOr<Descriptor> CreateFile(const Location& at,
                                      std::string_view operation) {
  struct stat info = {};
  if (fstatat(at.directory(), at.name(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
    if (S_ISDIR(info.st_mode)) return FileError(at.path(), operation, EISDIR);
    if (S_ISREG(info.st_mode)) {
      absl::Status s = CheckOwner(at, operation, info);
      if (!s.ok()) return s;
    }
    if (unlinkat(at.directory(), at.name(), 0) == -1 && errno != ENOENT) {
      return FileError(at.path(), operation, errno);
    }
  } else if (errno != ENOENT) {
    return FileError(at.path(), operation, errno);
  }
  return OpenAt(at, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, operation);
}

// With O_PATH or O_RDONLY. Below a root, what is no directory, but a symbolic
// link to one, is told as such; the log's directory may be one.
absl::StatusOr<Descriptor> OpenDirectory(const Location& at, int flags,
                                         std::string_view operation) {
  const bool below = at.root() != nullptr;
  absl::StatusOr<Descriptor> descriptor =
      OpenAt(at, flags | O_DIRECTORY | (below ? O_NOFOLLOW : 0), operation);
  struct stat info = {};
  if (descriptor.ok() || !below ||
      fstatat(at.directory(), at.name(), &info, AT_SYMLINK_NOFOLLOW) == -1 ||
      S_ISDIR(info.st_mode) || S_ISREG(info.st_mode)) {
    return descriptor;
  }
  return IsOther(at.path(), operation, info.st_mode, "directory");
}

// The logs that are locked here.
class Roots {
 public:
  // The directory of the lock's file.
  absl::StatusOr<std::shared_ptr<const Root>> Add(const std::string& file,
                                                  std::string_view operation) {
    const std::size_t slash = file.rfind('/');
    const std::string path = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : file.substr(0, slash);
    absl::StatusOr<Descriptor> descriptor =
        OpenIn(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY, file, operation);
    if (!descriptor.ok()) return descriptor.status();
    struct stat info = {};
    if (fstat(descriptor->get(), &info) == -1) {
      return FileError(file, operation, errno);
    }
    auto root = std::make_shared<const Root>(
        Root{path, *std::move(descriptor), info.st_uid});
    absl::MutexLock lock(&mu_);
    std::erase_if(roots_, [](const auto& other) { return other.expired(); });
    roots_.push_back(root);
    return root;
  }

  // Goes down from the root step by step, so that no step can be a symbolic
  // link.
  absl::StatusOr<Location> Find(const std::string& path,
                                std::string_view operation) {
    std::shared_ptr<const Root> root = RootOf(path);
    if (root == nullptr) return Location(path);
    std::string_view rest = path;
    rest.remove_prefix(root->path.size());
    std::string_view name = Next(rest);
    if (name.empty()) return Location(path, std::move(root), nullptr, ".");
    std::shared_ptr<const Descriptor> directory;
    while (true) {
      const std::string_view next = Next(rest);
      Location at(path.substr(0, Offset(path, name) + name.size()), root,
                  directory, std::string(name));
      if (next.empty()) return at;
      absl::StatusOr<Descriptor> step = OpenDirectory(at, O_PATH, operation);
      if (!step.ok()) return step.status();
      directory = std::make_shared<const Descriptor>(*std::move(step));
      name = next;
    }
  }

 private:
  // Takes the next name of a path.
  static std::string_view Next(std::string_view& path) {
    path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
    const std::string_view name = path.substr(0, path.find('/'));
    path.remove_prefix(name.size());
    return name;
  }

  static std::size_t Offset(std::string_view whole, std::string_view part) {
    return static_cast<std::size_t>(part.data() - whole.data());
  }

  std::shared_ptr<const Root> RootOf(const std::string& path) {
    absl::MutexLock lock(&mu_);
    std::shared_ptr<const Root> found;
    for (const std::weak_ptr<const Root>& weak : roots_) {
      std::shared_ptr<const Root> root = weak.lock();
      if (root == nullptr || !path.starts_with(root->path)) continue;
      const bool below = path.size() == root->path.size() ||
                         path[root->path.size()] == '/' ||
                         root->path.ends_with('/');
      if (!below) continue;
      if (!found || found->path.size() < root->path.size()) {
        found = std::move(root);
      }
    }
    return found;
  }

  absl::Mutex mu_;
  std::vector<std::weak_ptr<const Root>> roots_ ABSL_GUARDED_BY(mu_);
};

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
  PosixFileLock(std::shared_ptr<const Root> root,
                std::unique_ptr<PosixFile> file)
      : root_(std::move(root)), file_(std::move(file)) {}

  bool held() const override { return file_ != nullptr; }

 private:
  const std::shared_ptr<const Root> root_;
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

// A lock that is being taken.
absl::StatusOr<std::unique_ptr<PosixFile>> LockFile(const Location& at,
                                                    int flags, int lock) {
  absl::StatusOr<Descriptor> descriptor = OpenFile(at, flags, "lock");
  if (!descriptor.ok()) return descriptor.status();
  const int fd = descriptor->get();
  const bool locked =
      Uninterrupted([&] { return flock(fd, lock | LOCK_NB); }) == 0;
  if (!locked && errno != EWOULDBLOCK) {
    return FileError(at.path(), "lock", errno);
  }
  auto file = std::make_unique<PosixFile>(at.path(), *std::move(descriptor));
  if (!locked) return LockedByOther(at.path(), *file);
  return file;
}

// What is written over: nothing but the ids of processes, or what a power cut
// has left of them.
absl::Status CheckIsLock(const std::string& path, PosixFile& file) {
  std::array<char, 64> text{};
  const absl::StatusOr<std::size_t> size =
      file.Read(0, text.data(), text.size());
  if (!size.ok()) return size.status();
  const std::string_view written(text.data(), *size);
  constexpr std::string_view kWritten("0123456789\n\0", 12);
  if (*size == text.size() ||
      written.find_first_not_of(kWritten) != std::string_view::npos) {
    return absl::DataLossError(fmt::format(
        "{}: lock: holds something else than the id of a process", path));
  }
  return absl::OkStatus();
}

class PosixFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path,
                                             Mode mode) override {
    constexpr std::string_view kOperation = "open";
    const absl::StatusOr<Location> at = roots_.Find(path, kOperation);
    if (!at.ok()) return at.status();
    absl::StatusOr<Descriptor> descriptor =
        mode == Mode::kCreate
            ? CreateFile(*at, kOperation)
            : OpenFile(*at, mode == Mode::kRead ? O_RDONLY : O_RDWR,
                       kOperation);
    if (!descriptor.ok()) return descriptor.status();
    return std::make_unique<PosixFile>(path, *std::move(descriptor));
  }

  absl::Status CreateDirectory(const std::string& path) override {
    constexpr std::string_view kOperation = "create directory";
    const absl::StatusOr<Location> at = roots_.Find(path, kOperation);
    if (!at.ok()) return at.status();
    if (mkdirat(at->directory(), at->name(), kDirectoryMode) == 0) {
      return absl::OkStatus();
    }
    const int error = errno;
    const bool below = at->root() != nullptr;
    struct stat info = {};
    if (error != EEXIST || fstatat(at->directory(), at->name(), &info,
                                   below ? AT_SYMLINK_NOFOLLOW : 0) == -1) {
      return FileError(path, kOperation, error);
    }
    if (S_ISDIR(info.st_mode)) {
      return below ? CheckOwner(*at, kOperation, info) : absl::OkStatus();
    }
    return S_ISREG(info.st_mode)
               ? FileError(path, kOperation, error)
               : IsOther(path, kOperation, info.st_mode, "directory");
  }

  absl::StatusOr<std::vector<std::string>> List(
      const std::string& directory) override {
    constexpr std::string_view kOperation = "list";
    const absl::StatusOr<Location> at = roots_.Find(directory, kOperation);
    if (!at.ok()) return at.status();
    const absl::StatusOr<Descriptor> descriptor =
        OpenDirectory(*at, O_RDONLY, kOperation);
    if (!descriptor.ok()) return descriptor.status();
    // One that the stream can close.
    const int fd = fcntl(descriptor->get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd == -1) return FileError(directory, kOperation, errno);
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(fd), closedir);
    if (stream == nullptr) {
      const int error = errno;
      close(fd);
      return FileError(directory, kOperation, error);
    }
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
    if (errno != 0) return FileError(directory, kOperation, errno);
    return names;
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    const std::string operation = fmt::format("rename to {}", to);
    const absl::StatusOr<Location> source = roots_.Find(from, operation);
    if (!source.ok()) return source.status();
    const absl::StatusOr<Location> target = roots_.Find(to, operation);
    if (!target.ok()) return target.status();
    if (renameat(source->directory(), source->name(), target->directory(),
                 target->name()) == -1) {
      return FileError(from, operation, errno);
    }
    return absl::OkStatus();
  }

  absl::Status Remove(const std::string& path) override {
    constexpr std::string_view kOperation = "remove";
    const absl::StatusOr<Location> at = roots_.Find(path, kOperation);
    if (!at.ok()) return at.status();
    if (unlinkat(at->directory(), at->name(), 0) == 0) return absl::OkStatus();
    if (errno == EISDIR &&
        unlinkat(at->directory(), at->name(), AT_REMOVEDIR) == 0) {
      return absl::OkStatus();
    }
    return FileError(path, kOperation, errno);
  }

  absl::Status SyncDirectory(const std::string& path) override {
    constexpr std::string_view kOperation = "sync directory";
    const absl::StatusOr<Location> at = roots_.Find(path, kOperation);
    if (!at.ok()) return at.status();
    const absl::StatusOr<Descriptor> directory =
        OpenDirectory(*at, O_RDONLY, kOperation);
    if (!directory.ok()) return directory.status();
    if (Uninterrupted([&] { return fsync(directory->get()); }) == -1) {
      return FileError(path, kOperation, errno);
    }
    return absl::OkStatus();
  }

  absl::Status SyncAll(const std::string& path) override {
    constexpr std::string_view kOperation = "sync file system";
    const absl::StatusOr<Location> at = roots_.Find(path, kOperation);
    if (!at.ok()) return at.status();
    const absl::StatusOr<Descriptor> directory =
        OpenDirectory(*at, O_RDONLY, kOperation);
    if (!directory.ok()) return directory.status();
    if (Uninterrupted([&] { return syncfs(directory->get()); }) == -1) {
      return FileError(path, kOperation, errno);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(
      const std::string& path) override {
    auto root = roots_.Add(path, "lock");
    if (!root.ok()) return root.status();
    auto file = LockToWrite(path);
    if (!file.ok()) return file.status();
    return std::make_unique<PosixFileLock>(*std::move(root), *std::move(file));
  }

  absl::StatusOr<std::unique_ptr<FileLock>> LockToRead(
      const std::string& path) override {
    auto root = roots_.Add(path, "lock");
    if (!root.ok()) return root.status();
    auto file = LockToWrite(path);
    // Whatever the reason is: nothing needs to be written.
    if (!file.ok() && !absl::IsFailedPrecondition(file.status())) {
      const absl::StatusOr<Location> at = roots_.Find(path, "lock");
      if (!at.ok()) return at.status();
      file = LockFile(*at, O_RDONLY, LOCK_SH);
      if (absl::IsNotFound(file.status())) file = nullptr;
    }
    if (!file.ok()) return file.status();
    return std::make_unique<PosixFileLock>(*std::move(root), *std::move(file));
  }

 private:
  absl::StatusOr<std::unique_ptr<PosixFile>> LockToWrite(
      const std::string& path) {
    const absl::StatusOr<Location> at = roots_.Find(path, "lock");
    if (!at.ok()) return at.status();
    auto file = LockFile(*at, O_RDWR | O_CREAT, LOCK_EX);
    if (!file.ok()) return file;
    absl::Status s = CheckIsLock(path, **file);
    // Overwritten before it is cut, so that it is never seen empty, and a full
    // disk does not matter if it has been locked before.
    const std::string pid = fmt::format("{}\n", getpid());
    if (s.ok()) s = (*file)->Write(0, pid);
    if (s.ok()) s = (*file)->Truncate(pid.size());
    if (!s.ok()) return s;
    return file;
  }

  Roots roots_;
};

}  // namespace

std::shared_ptr<FileSystem> FileSystem::Posix() {
  return std::make_shared<PosixFileSystem>();
}

}  // namespace messenger
