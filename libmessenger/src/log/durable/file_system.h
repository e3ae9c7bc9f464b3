// The seam between the durable log and the disk, so that tests can fail, tear
// and drop what is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace messenger {

// Errors begin with the path and the operation: NOT_FOUND there is no such file
// or directory, RESOURCE_EXHAUSTED the disk or a quota is full, DATA_LOSS there
// is something else in its place that a log does not have, INTERNAL anything
// else.
//
// What a log does not have, and what nothing here follows, waits for, reads or
// changes: symbolic links, FIFOs, sockets, devices; and, where it would be
// changed, a file with several names (hard links), and one that belongs neither
// to us, nor to root, nor to the owner of the log's directory.

// An open file. Its destructor closes it, without syncing it.
//
// Thread safety: Read may be called from any thread, the others by one at a
// time.
class File {
 public:
  virtual ~File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // Reads `size` bytes, or less if the file ends before; returns how many.
  virtual absl::StatusOr<std::size_t> Read(std::uint64_t offset, char* out,
                                           std::size_t size) = 0;

  // Writes all of `bytes`. After an error, any part of them may be written.
  virtual absl::Status Write(std::uint64_t offset, std::string_view bytes) = 0;

  // What was written is on stable storage when it returns OK (fdatasync). After
  // an error nobody knows what is; trying again proves nothing
  // (https://wiki.postgresql.org/wiki/Fsync_Errors).
  virtual absl::Status Sync() = 0;

  // Cuts the file, or extends it by zeros, to `size` bytes.
  virtual absl::Status Truncate(std::uint64_t size) = 0;

  // Makes the file at least `size` bytes long, with zeros, and reserves the
  // room, so that what is written there changes no size and, on most file
  // systems, finds room on a full disk. Only advice: an error means that it was
  // not done.
  virtual absl::Status Allocate(std::uint64_t size) = 0;

  virtual absl::StatusOr<std::uint64_t> Size() = 0;

  // Advice that these bytes will be read soon.
  virtual void WillNeed(std::uint64_t offset, std::size_t size) = 0;

 protected:
  File() = default;
};

// Held until it is destroyed, or until the process ends.
class FileLock {
 public:
  virtual ~FileLock() = default;
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  // False if there was no file to lock, and none could be created: then nobody
  // is kept out.
  virtual bool held() const { return true; }

 protected:
  FileLock() = default;
};

// Thread safety: all members may be called from any thread.
class FileSystem {
 public:
  // The one of the operating system.
  static std::shared_ptr<FileSystem> Posix();

  virtual ~FileSystem() = default;
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;

  enum class Mode : std::uint8_t {
    kRead,    // it must exist
    kModify,  // to read and write; it must exist
    // To read and write. If there is anything but a directory, a new file takes
    // its place, and what had other names stays as it was.
    kCreate,
  };
  virtual absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path,
                                                     Mode mode) = 0;

  // Fine if it exists and is a directory. Its parent must exist.
  virtual absl::Status CreateDirectory(const std::string& path) = 0;

  // Of the files and directories in it, in no order.
  virtual absl::StatusOr<std::vector<std::string>> List(
      const std::string& directory) = 0;

  // Replaces `to` if it exists.
  virtual absl::Status Rename(const std::string& from,
                              const std::string& to) = 0;

  // Removes a file or an empty directory; of a symbolic link, the link.
  virtual absl::Status Remove(const std::string& path) = 0;

  // Files that were created, renamed or removed in it are so on stable storage
  // when it returns OK.
  virtual absl::Status SyncDirectory(const std::string& path) = 0;

  // The same, for all that was written to, created, renamed or removed in the
  // file system of this directory, by whoever (syncfs, which tells of errors
  // since Linux 5.8). Cheaper than a sync for each of hundreds of files.
  virtual absl::Status SyncAll(const std::string& directory) = 0;

  // Locks the file at `path`, which is created if need be, and writes our
  // process id into it. FAILED_PRECONDITION, naming the holder, if another
  // process, or another lock of this one, holds it.
  //
  // The directory of the file is that of a log. It may be a symbolic link
  // itself; until the lock is destroyed, everything that is used here with a
  // path below it lies in the directory which it was when it was locked, and no
  // directory on the way there is a symbolic link.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(
      const std::string& path) = 0;

  // The same for one who only reads: where the file cannot be written, or not
  // be created, it is locked as it is, or not at all. Keeps Lock out, but not
  // necessarily others who only read.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> LockToRead(
      const std::string& path) {
    return Lock(path);
  }

 protected:
  FileSystem() = default;
};

}  // namespace messenger
