// Copies of damaged files, for whoever wants to look at them.
#pragma once

#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/durable/file_system.h"
#include "messenger/message.h"

namespace messenger {

inline constexpr std::string_view kKeptPrefix = "damaged-";

struct KeptFiles {
  std::string name;             // of the directory, within that of the log
  std::set<std::string> files;  // within the directory of the log
};

// Copies those of `files` that are there into a new directory in that of the
// log, under the names that they have. On stable storage when it returns OK.
absl::StatusOr<KeptFiles> KeepFiles(FileSystem& files,
                                    const std::string& directory, Timestamp now,
                                    const std::set<std::string>& names);

}  // namespace messenger
