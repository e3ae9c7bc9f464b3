// A file system in memory that fails, and forgets in a crash, as a disk does.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/durable/file_system.h"

namespace messenger::test {

// Each file has the content that the process sees and the one on stable
// storage, and each directory its entries likewise. It is as strict as POSIX
// lets a file system be: syncing a file does not sync its name.
//
// Paths begin at one root, with or without a slash. Error codes and texts are
// those of FileSystem::Posix().
//
// Thread safety: all members may be called from any thread. Files and locks may
// outlive it.
class FaultyFileSystem final : public FileSystem {
 public:
  FaultyFileSystem();

  enum class CrashMode : std::uint8_t {
    kKillProcess,  // what the process saw remains
    // What was synced remains. Of the rest, some remains:
    // - Of each 512-byte sector, the content at some moment since the last
    //   sync; of the file's size likewise. So a write may be torn, and writes
    //   may be kept without those before them; what lies in the file and was
    //   not kept is zeros.
    // - Of the changes to each directory, those up to some moment.
    kPowerCut,
  };
  // Files and locks of before are dead: each of their operations fails with
  // INTERNAL "after the crash" and changes nothing. The file system itself
  // works on, so whatever is still using it must be stopped before: see Stop().
  void Crash(CrashMode mode, std::mt19937_64& random);

  // Until the next Crash, every operation fails with INTERNAL "after the crash"
  // and changes nothing. So what was using the file system can be destroyed
  // between the two, without doing what a killed process would not do.
  void Stop();

  enum class Operation : std::uint8_t {
    kOpen,
    kRead,
    kWrite,
    kSync,
    kTruncate,
    kAllocate,
    kRename,  // with the path it has before
    kRemove,
    kCreateDirectory,
    kSyncDirectory,
    kSyncAll,
    kList,
    kLock,
  };
  // Called before every operation, by its thread, with the path as it was
  // given; may call the file system's own members. An error is returned by the
  // operation, which then does nothing, except that
  // - a write may be done in part, see SetShortWrites;
  // - a sync forgets what it had to sync, as Linux does: that stays visible,
  // but
  //   no later sync makes it durable, unless it is written again.
  // It goes on after a crash.
  using Fault = std::function<absl::Status(Operation, const std::string& path)>;
  void SetFault(Fault fault);

  // Lets writes that SetFault fails write a part of a random length, from none
  // to all of it. They write nothing otherwise.
  void SetShortWrites(std::uint64_t seed);

  // Of all files together; without limit at first. What goes beyond fails with
  // RESOURCE_EXHAUSTED; a write is done up to there.
  void SetCapacity(std::uint64_t bytes);

  // What follows looks at and changes what the process sees, faults and crashes
  // aside.

  // Throws std::invalid_argument if there is no such file.
  std::string Contents(const std::string& path) const;
  // Durable at once, with its name, its directories, which are created, and all
  // of their changes until now. Open files see it.
  void SetContents(const std::string& path, std::string_view bytes);
  // The paths of all files, not of directories, with a slash before; sorted.
  std::vector<std::string> Files() const;

  // How many have succeeded.
  std::uint64_t syncs() const;
  std::uint64_t directory_syncs() const;

  // Those of Open that the process has open, locks aside.
  int open_files() const;
  int max_open_files() const;

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path,
                                             Mode mode) override;
  absl::Status CreateDirectory(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(
      const std::string& directory) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status SyncDirectory(const std::string& path) override;
  absl::Status SyncAll(const std::string& directory) override;
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(
      const std::string& path) override;
  // What SetFault fails of Lock is as on a disk that cannot be written.
  absl::StatusOr<std::unique_ptr<FileLock>> LockToRead(
      const std::string& path) override;

 private:
  class Disk;
  class OpenFile;
  class HeldLock;

  const std::shared_ptr<Disk> disk_;
};

}  // namespace messenger::test
