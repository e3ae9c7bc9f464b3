#include "disk.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>

namespace messenger::bench {
namespace {

[[noreturn]] void Throw(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

SyncedFile::SyncedFile(const std::string& path)
    : fd_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
  if (fd_ < 0) Throw("open");
}

SyncedFile::~SyncedFile() {
  close(fd_);
}

void SyncedFile::Append(const std::string& bytes) {
  constexpr std::int64_t kStep = std::int64_t{4} << 20;
  const auto size = static_cast<std::int64_t>(bytes.size());
  if (size_ + size > allocated_) {
    allocated_ = size_ + size + kStep;
    if (posix_fallocate(fd_, 0, allocated_) != 0) Throw("fallocate");
  }
  if (pwrite(fd_, bytes.data(), bytes.size(), size_) != size) Throw("write");
  if (fdatasync(fd_) != 0) Throw("fdatasync");
  size_ += size;
}

bool DropCaches() {
  sync();
  std::ofstream file("/proc/sys/vm/drop_caches");
  file << "3" << std::flush;
  return file.good();
}

}  // namespace messenger::bench
