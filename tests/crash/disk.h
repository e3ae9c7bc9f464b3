// A disk whose power can be cut.
#pragma once

#include <string>

namespace messenger::test {

// An ext4 file system on a block device of its own, mounted. Needs the
// privileges for mounting.
//
// Thread safety: none.
class Disk {
 public:
  Disk(std::string device, std::string mount_point)
      : device_(std::move(device)), mount_point_(std::move(mount_point)) {}

  // What is not on stable storage is gone, and every access fails until the
  // disk is mounted again.
  void CutPower() const;

  // Mounts it again, which replays the file system's journal. Nobody may have
  // a file on it open any more.
  void Remount() const;

 private:
  const std::string device_;
  const std::string mount_point_;
};

}  // namespace messenger::test
