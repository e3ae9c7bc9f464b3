// The disk under the log.
#pragma once

#include <cstdint>
#include <string>

#include "support/temporary_directory.h"

namespace messenger::bench {

using ScratchDirectory = test::TemporaryDirectory;

// A file that is written and synced as a journal is, with nothing around it.
class SyncedFile {
 public:
  // Throws std::system_error.
  explicit SyncedFile(const std::string& path);
  ~SyncedFile();
  SyncedFile(const SyncedFile&) = delete;
  SyncedFile& operator=(const SyncedFile&) = delete;

  // Writes at the end and syncs. Throws std::system_error.
  void Append(const std::string& bytes);

 private:
  int fd_ = -1;
  std::int64_t size_ = 0;
  std::int64_t allocated_ = 0;
};

// Empties the page cache of the machine; false if we may not.
bool DropCaches();

}  // namespace messenger::bench
