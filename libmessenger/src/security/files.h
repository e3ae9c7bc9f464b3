// Small files that matter: read and replaced as a whole, or made where there
// was none. Errors begin with the path.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/descriptor.h"

namespace messenger {

// INVALID_ARGUMENT if it is larger than kMaxSecurityFileSize, or no file.
absl::StatusOr<std::string> ReadSecurityFile(const std::string& path);

// The same for the value of an option: whatever is wrong is INVALID_ARGUMENT,
// and begins with the option.
absl::StatusOr<std::string> ReadOptionFile(std::string_view option,
                                           const std::string& path);

// What an operator should be told if others than its owner may read the file,
// or change it; nothing if they may not.
std::optional<std::string> ExposureOf(const std::string& path);

// Where it is: "." if that is not said.
std::string DirectoryOf(const std::string& path);

// A file that one process at a time changes. Whoever only reads it needs no
// lock: it is there as a whole at any time.
//
// Thread safety: none.
class LockedFile {
 public:
  enum class IfMissing { kFail, kCreate };

  // Blocks while another one has it. What it creates is empty, and has the mode
  // 0600.
  static absl::StatusOr<LockedFile> Open(const std::string& path,
                                         IfMissing if_missing);
  // Unlocks it. What was created and never replaced is removed, and what was
  // prepared and never committed.
  ~LockedFile();
  LockedFile(LockedFile&& other) noexcept;
  LockedFile& operator=(LockedFile&&) = delete;
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;

  absl::StatusOr<std::string> Read() const;

  // At most once. After a crash it is the old one or the new one, and the new
  // one once this has returned OK. Mode and owner stay.
  absl::Status Replace(std::string_view contents);

  // The same in three steps, for several files at about the same time: the
  // first one, which writes them beside, is the one that fails if there is no
  // room; the second one takes no time; and the third one is what makes it
  // durable.
  absl::Status Prepare(std::string_view contents);
  absl::Status Commit();
  absl::Status Sync();

 private:
  LockedFile(std::string path, Descriptor file, bool is_new)
      : path_(std::move(path)), file_(std::move(file)), is_new_(is_new) {}

  std::string path_;  // where it is, without symbolic links
  Descriptor file_;
  bool is_new_;
  std::string beside_;  // what is prepared; empty: nothing
};

// Files and directories that are made together, or not at all: those that were
// made go with the object, unless all are kept.
//
// Thread safety: none.
class NewFiles {
 public:
  NewFiles() = default;
  ~NewFiles();
  NewFiles(const NewFiles&) = delete;
  NewFiles& operator=(const NewFiles&) = delete;

  // One that is there already is left as it is.
  absl::Status CreateDirectory(const std::string& path, mode_t mode);
  // Whatever the umask is. ALREADY_EXISTS if something is there.
  absl::Status Create(const std::string& path, mode_t mode,
                      std::string_view contents);
  // Once this has returned OK, they are there after a crash, too.
  absl::Status Keep(const std::string& directory);

 private:
  std::vector<std::string> files_;
  std::vector<std::string> directories_;
};

}  // namespace messenger
