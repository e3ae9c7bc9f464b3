// Where a reader was, in a file.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/message.h"

namespace messenger::app {

// A file with one line: a Bookmark. Replaced as a whole each time, by way of
// PATH.new, and on stable storage then. What is no file is refused, and no
// symbolic link is followed, but for those to its directory.
//
// Thread safety: none.
class BookmarkFile {
 public:
  explicit BookmarkFile(std::string path) : path_(std::move(path)) {}

  // Nothing if there is no such file. INVALID_ARGUMENT if there is something
  // else in it, INTERNAL if it cannot be read or is no file.
  absl::StatusOr<std::optional<Bookmark>> Load() const;

  // FAILED_PRECONDITION if PATH.new is there and holds something else than a
  // bookmark. Blocks until the disk has it.
  absl::Status Save(const Bookmark& bookmark) const;

 private:
  const std::string path_;
};

}  // namespace messenger::app
