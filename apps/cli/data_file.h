// A file whose bytes are the data of a message.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace messenger::app {

// All bytes of the file, or of stdin if `path` is "-". INVALID_ARGUMENT if
// there are more than `max_bytes`, and no more than these are read; INTERNAL if
// it cannot be read.
absl::StatusOr<std::string> ReadDataFile(const std::string& path,
                                         std::size_t max_bytes);

}  // namespace messenger::app
