// What the file system leaves to its users: whole files, errors, names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/durable/file_system.h"

namespace messenger {

// No file that is read as a whole is larger.
inline constexpr std::uint64_t kMaxReadFile = std::uint64_t{1} << 32;

// DATA_LOSS if it is larger than `max_size`.
absl::StatusOr<std::string> ReadFile(FileSystem& files, const std::string& path,
                                     std::uint64_t max_size = kMaxReadFile);

// At most so many bytes of it, from its beginning on.
absl::StatusOr<std::string> ReadBeginning(FileSystem& files,
                                          const std::string& path,
                                          std::uint64_t max_size);

absl::StatusOr<std::uint64_t> SizeOfFile(FileSystem& files,
                                         const std::string& path);

// Writes the file `name` in `directory`: after a crash it is the old one or the
// new one, and the new one once this has returned OK.
absl::Status ReplaceFile(FileSystem& files, const std::string& directory,
                         std::string_view name, std::string_view contents);

// What is not there need not be removed.
absl::Status RemoveIfThere(FileSystem& files, const std::string& path);

// What a system call's `error` on a file means: NOT_FOUND, RESOURCE_EXHAUSTED
// for a full disk, DATA_LOSS for a directory or a symbolic link in its place,
// INTERNAL.
absl::Status FileError(std::string_view path, std::string_view operation,
                       int error);

// Names of files that are numbered: 20 digits and the suffix, so that they sort
// by number.
std::string NumberedFileName(std::uint64_t number, std::string_view suffix);
std::optional<std::uint64_t> ParseNumberedFileName(std::string_view name,
                                                   std::string_view suffix);

}  // namespace messenger
