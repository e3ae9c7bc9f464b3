// Whole files.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/durable/file_system.h"

namespace messenger {

absl::StatusOr<std::string> ReadFile(FileSystem& files,
                                     const std::string& path);

// Writes the file `name` in `directory`: after a crash it is the old one or the
// new one, and the new one once this has returned OK.
absl::Status ReplaceFile(FileSystem& files, const std::string& directory,
                         std::string_view name, std::string_view contents);

}  // namespace messenger
