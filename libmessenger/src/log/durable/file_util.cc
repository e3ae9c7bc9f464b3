#include "log/durable/file_util.h"

#include <cstdint>
#include <memory>

namespace messenger {

absl::StatusOr<std::string> ReadFile(FileSystem& files,
                                     const std::string& path) {
  absl::StatusOr<std::unique_ptr<File>> file =
      files.Open(path, FileSystem::Mode::kRead);
  if (!file.ok()) return file.status();
  const absl::StatusOr<std::uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  std::string contents(*size, '\0');
  const absl::StatusOr<std::size_t> read =
      (*file)->Read(0, contents.data(), contents.size());
  if (!read.ok()) return read.status();
  contents.resize(*read);
  return contents;
}

absl::Status ReplaceFile(FileSystem& files, const std::string& directory,
                         std::string_view name, std::string_view contents) {
  const std::string path = directory + "/" + std::string(name);
  const std::string temporary = path + ".new";
  {
    absl::StatusOr<std::unique_ptr<File>> file =
        files.Open(temporary, FileSystem::Mode::kCreate);
    if (!file.ok()) return file.status();
    absl::Status s = (*file)->Write(0, contents);
    if (s.ok()) s = (*file)->Sync();
    if (!s.ok()) return s;
  }
  absl::Status s = files.Rename(temporary, path);
  if (s.ok()) s = files.SyncDirectory(directory);
  return s;
}

}  // namespace messenger
