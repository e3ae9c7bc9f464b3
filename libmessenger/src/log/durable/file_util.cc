#include "log/durable/file_util.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>

namespace messenger {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case ENOSPC:
    case EDQUOT:
      return absl::StatusCode::kResourceExhausted;
    case EISDIR:
    case ELOOP:
      return absl::StatusCode::kDataLoss;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::StatusOr<std::string> ReadStart(File& file, std::uint64_t size) {
  std::string contents(size, '\0');
  const absl::StatusOr<std::size_t> read =
      file.Read(0, contents.data(), contents.size());
  if (!read.ok()) return read.status();
  contents.resize(*read);
  return contents;
}

}  // namespace

absl::StatusOr<std::string> ReadFile(FileSystem& files, const std::string& path,
                                     std::uint64_t max_size) {
  absl::StatusOr<std::unique_ptr<File>> file =
      files.Open(path, FileSystem::Mode::kRead);
  if (!file.ok()) return file.status();
  const absl::StatusOr<std::uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  if (*size > max_size) {
    return absl::DataLossError(fmt::format(
        "{}: has {} bytes, and no such file of a log has more than {}", path,
        *size, max_size));
  }
  return ReadStart(**file, *size);
}

absl::StatusOr<std::string> ReadBeginning(FileSystem& files,
                                          const std::string& path,
                                          std::uint64_t max_size) {
  absl::StatusOr<std::unique_ptr<File>> file =
      files.Open(path, FileSystem::Mode::kRead);
  if (!file.ok()) return file.status();
  const absl::StatusOr<std::uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  return ReadStart(**file, std::min(*size, max_size));
}

absl::StatusOr<std::uint64_t> SizeOfFile(FileSystem& files,
                                         const std::string& path) {
  absl::StatusOr<std::unique_ptr<File>> file =
      files.Open(path, FileSystem::Mode::kRead);
  if (!file.ok()) return file.status();
  return (*file)->Size();
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

absl::Status RemoveIfThere(FileSystem& files, const std::string& path) {
  absl::Status s = files.Remove(path);
  return absl::IsNotFound(s) ? absl::OkStatus() : s;
}

absl::Status FileError(std::string_view path, std::string_view operation,
                       int error) {
  return {CodeOf(error), fmt::format("{}: {}: {}", path, operation,
                                     std::generic_category().message(error))};
}

std::string NumberedFileName(std::uint64_t number, std::string_view suffix) {
  return fmt::format("{:020}{}", number, suffix);
}

std::optional<std::uint64_t> ParseNumberedFileName(std::string_view name,
                                                   std::string_view suffix) {
  constexpr std::size_t kDigits = 20;
  if (name.size() != kDigits + suffix.size() || !name.ends_with(suffix)) {
    return std::nullopt;
  }
  std::uint64_t number = 0;
  const char* const end = name.data() + kDigits;
  const auto [rest, error] = std::from_chars(name.data(), end, number);
  if (error != std::errc() || rest != end) return std::nullopt;
  return number;
}

}  // namespace messenger
