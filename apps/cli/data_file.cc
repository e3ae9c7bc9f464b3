#include "apps/cli/data_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "absl/status/status.h"
#include "apps/common/standard_streams.h"

namespace messenger::app {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

absl::Status Failed(const std::string& name) {
  return absl::InternalError(fmt::format(
      "cannot read {}: {}", name, std::generic_category().message(errno)));
}

absl::StatusOr<std::string> ReadUpTo(std::FILE* file, const std::string& name,
                                     std::size_t max_bytes) {
  std::string bytes(max_bytes + 1, '\0');
  bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file));
  if (std::ferror(file) != 0) return Failed(name);
  if (bytes.size() > max_bytes) {
    return absl::InvalidArgumentError(
        fmt::format("data: {} has more than {} bytes, the limit of a message",
                    name, max_bytes));
  }
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> ReadDataFile(const std::string& path,
                                         std::size_t max_bytes) {
  if (path == "-") {
    if (!IsInherited(STDIN_FILENO)) {
      return absl::InternalError("stdin is closed");
    }
    return ReadUpTo(stdin, "stdin", max_bytes);
  }
  const std::unique_ptr<std::FILE, CloseFile> file(
      std::fopen(path.c_str(), "rbe"));
  if (!file) return Failed(path);
  return ReadUpTo(file.get(), path, max_bytes);
}

}  // namespace messenger::app
