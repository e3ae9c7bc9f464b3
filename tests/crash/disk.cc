#include "disk.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace messenger::test {
namespace {

// Of Linux's fs/ext4/ext4.h, which no header for programs has in Debian 12.
constexpr std::uint64_t kShutdown = _IOR('X', 125, std::uint32_t);
constexpr std::uint32_t kWithoutFlushingTheJournal = 2;

void Check(int result, const std::string& what) {
  if (result >= 0) return;
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

void Disk::CutPower() const {
  const int root = open(mount_point_.c_str(), O_RDONLY | O_CLOEXEC);
  Check(root, mount_point_);
  std::uint32_t how = kWithoutFlushingTheJournal;
  const int result = ioctl(root, kShutdown, &how);
  const int error = errno;
  close(root);
  errno = error;
  Check(result, "EXT4_IOC_SHUTDOWN " + mount_point_);
}

void Disk::Remount() const {
  Check(umount(mount_point_.c_str()), "umount " + mount_point_);
  Check(mount(device_.c_str(), mount_point_.c_str(), "ext4", 0, nullptr),
        "mount " + device_);
}

}  // namespace messenger::test
