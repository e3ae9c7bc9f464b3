#include "log/tools/kept_files.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace messenger {
namespace {

constexpr std::size_t kBlockSize = std::size_t{64} << 10;

// One that is not there yet: what an earlier repair has kept stays.
absl::StatusOr<std::string> NewName(FileSystem& files,
                                    const std::string& directory,
                                    Timestamp now) {
  const auto names = files.List(directory);
  if (!names.ok()) return names.status();
  const std::string base =
      fmt::format("{}{:%Y%m%dT%H%M%S}", kKeptPrefix,
                  fmt::gmtime(std::chrono::duration_cast<std::chrono::seconds>(
                                  now.time_since_epoch())
                                  .count()));
  std::string name = base;
  for (int i = 2; std::find(names->begin(), names->end(), name) != names->end();
       ++i) {
    name = fmt::format("{}-{}", base, i);
  }
  return name;
}

absl::Status Copy(FileSystem& files, File& from, const std::string& to) {
  auto file = files.Open(to, FileSystem::Mode::kCreate);
  if (!file.ok()) return file.status();
  std::vector<char> block(kBlockSize);
  std::uint64_t offset = 0;
  while (true) {
    const absl::StatusOr<std::size_t> read =
        from.Read(offset, block.data(), block.size());
    if (!read.ok()) return read.status();
    if (*read == 0) break;
    absl::Status s = (*file)->Write(offset, {block.data(), *read});
    if (!s.ok()) return s;
    offset += *read;
  }
  return (*file)->Sync();
}

}  // namespace

absl::StatusOr<KeptFiles> KeepFiles(FileSystem& files,
                                    const std::string& directory, Timestamp now,
                                    const std::set<std::string>& names) {
  absl::StatusOr<std::string> name = NewName(files, directory, now);
  if (!name.ok()) return name.status();
  KeptFiles kept = {.name = *std::move(name), .files = {}};
  const std::string root = fmt::format("{}/{}", directory, kept.name);
  absl::Status s = files.CreateDirectory(root);
  std::vector<std::string> directories = {root};
  for (const std::string& file : names) {
    if (!s.ok()) return s;
    auto from = files.Open(fmt::format("{}/{}", directory, file),
                           FileSystem::Mode::kRead);
    if (absl::IsNotFound(from.status())) continue;
    if (!from.ok()) return from.status();
    for (std::size_t slash = file.find('/'); slash != std::string::npos;
         slash = file.find('/', slash + 1)) {
      const std::string parent =
          fmt::format("{}/{}", root, std::string_view(file).substr(0, slash));
      if (std::find(directories.begin(), directories.end(), parent) !=
          directories.end()) {
        continue;
      }
      s = files.CreateDirectory(parent);
      if (!s.ok()) return s;
      directories.push_back(parent);
    }
    s = Copy(files, **from, fmt::format("{}/{}", root, file));
    kept.files.insert(file);
  }
  for (const std::string& created : directories) {
    if (s.ok()) s = files.SyncDirectory(created);
  }
  if (s.ok()) s = files.SyncDirectory(directory);
  if (!s.ok()) return s;
  return kept;
}

}  // namespace messenger
