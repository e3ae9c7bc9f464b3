// Where a reader was, in a file.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/message.h"

namespace messenger::app {

// A file with one line: a Bookmark. Replaced as a whole each time.
//
// Thread safety: none.
class BookmarkFile {
 public:
  explicit BookmarkFile(std::string path) : path_(std::move(path)) {}

  // Nothing if there is no such file. INVALID_ARGUMENT if there is something
  // else in it.
  absl::StatusOr<std::optional<Bookmark>> Load() const;

  absl::Status Save(const Bookmark& bookmark) const;

 private:
  const std::string path_;
};

}  // namespace messenger::app
