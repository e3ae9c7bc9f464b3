#include "support/faulty_file_system.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "log/durable/file_util.h"

namespace messenger::test {
namespace {

using Operation = FaultyFileSystem::Operation;

constexpr std::uint64_t kSector = 512;
constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

std::string_view NameOf(Operation operation) {
  switch (operation) {
    case Operation::kOpen:
      return "open";
    case Operation::kRead:
      return "read";
    case Operation::kWrite:
      return "write";
    case Operation::kSync:
      return "sync";
    case Operation::kTruncate:
      return "truncate";
    case Operation::kAllocate:
      return "allocate";
    case Operation::kRename:
      return "rename";
    case Operation::kRemove:
      return "remove";
    case Operation::kCreateDirectory:
      return "create directory";
    case Operation::kSyncDirectory:
      return "sync directory";
    case Operation::kSyncAll:
      return "sync file system";
    case Operation::kList:
      return "list";
    case Operation::kLock:
      break;
  }
  return "lock";
}

absl::Status Error(std::string_view path, Operation operation, int error) {
  return FileError(path, NameOf(operation), error);
}

absl::Status Dead(std::string_view path, std::string_view operation) {
  return absl::InternalError(
      fmt::format("{}: {}: after the crash", path, operation));
}

// From 0 to `max`, both included.
std::size_t Pick(std::mt19937_64& random, std::size_t max) {
  return std::uniform_int_distribution<std::size_t>(0, max)(random);
}

// A write, or (without bytes) a change of the size to `offset`.
struct ContentChange {
  std::uint64_t offset = 0;
  std::string bytes;

  bool is_resize() const { return bytes.empty(); }
  std::uint64_t end() const { return offset + bytes.size(); }
};

void Put(std::string& content, std::uint64_t offset, std::string_view bytes) {
  content.resize(std::max<std::size_t>(content.size(), offset + bytes.size()));
  std::copy(bytes.begin(), bytes.end(),
            content.begin() + static_cast<std::ptrdiff_t>(offset));
}

void Apply(std::string& content, const ContentChange& change) {
  if (change.is_resize()) {
    content.resize(change.offset);
  } else {
    Put(content, change.offset, change.bytes);
  }
}

// Calls `call(sector, offset, bytes)` for each part of a write.
template <typename Call>
void ForEachSector(const ContentChange& write, Call call) {
  std::string_view bytes = write.bytes;
  std::uint64_t offset = write.offset;
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, kSector - offset % kSector);
    call(offset / kSector, offset, part);
    bytes.remove_prefix(part.size());
    offset += part.size();
  }
}

// What a power cut leaves of a file of which some changes are kept.
std::string KeepSome(std::string content,
                     const std::vector<ContentChange>& changes,
                     std::mt19937_64& random) {
  std::map<std::uint64_t, std::size_t> kept;  // of the writes to each sector
  for (const ContentChange& change : changes) {
    ForEachSector(change,
                  [&](std::uint64_t sector, auto, auto) { ++kept[sector]; });
  }
  for (auto& [sector, count] : kept) count = Pick(random, count);
  // The size is that at one moment, and so is what was cut off until then.
  const std::size_t sizes_kept = Pick(random, changes.size());
  std::uint64_t size = content.size();
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const ContentChange& change = changes[i];
    if (change.is_resize()) {
      if (i >= sizes_kept) continue;
      size = change.offset;
      content.resize(size);
      continue;
    }
    ForEachSector(change, [&](std::uint64_t sector, std::uint64_t offset,
                              std::string_view part) {
      if (kept[sector] == 0) return;
      --kept[sector];
      Put(content, offset, part);
    });
    if (i < sizes_kept) size = std::max(size, change.end());
  }
  content.resize(size);
  return content;
}

struct Node;
using NodePtr = std::shared_ptr<Node>;
using Entries = std::map<std::string, NodePtr>;

// A file or a directory; the members of the other one are empty.
struct Node {
  bool is_directory = false;

  Entries entries;
  Entries durable_entries;

  std::string content;
  std::string durable_content;
  std::vector<ContentChange> unsynced;
  std::uint64_t locked_by = 0;  // a process, if it lives
};

NodePtr MakeNode(bool is_directory) {
  auto node = std::make_shared<Node>();
  node->is_directory = is_directory;
  return node;
}

void Change(Node& file, ContentChange change) {
  Apply(file.content, change);
  file.unsynced.push_back(std::move(change));
}

void SyncFile(Node& file) {
  for (const ContentChange& change : file.unsynced) {
    Apply(file.durable_content, change);
  }
  file.unsynced.clear();
}

void SyncAllFiles(Node& node) {
  SyncFile(node);
  for (const auto& [name, child] : node.entries) SyncAllFiles(*child);
}

// After a sync that has failed.
void ForgetAll(Node& node) {
  node.unsynced.clear();
  for (const auto& [name, child] : node.entries) ForgetAll(*child);
}

std::uint64_t TotalSize(const Node& node) {
  std::uint64_t size = node.content.size();
  for (const auto& [name, child] : node.entries) size += TotalSize(*child);
  return size;
}

// Back to what is durable, and some of the changes to the files.
void CutPower(Node& node, std::mt19937_64& random) {
  node.entries = node.durable_entries;
  for (const auto& [name, child] : node.entries) CutPower(*child, random);
  // All and nothing would be rare if many sectors were picked from.
  switch (Pick(random, 3)) {
    case 0:
      break;
    case 1:
      SyncFile(node);
      break;
    default:
      node.durable_content =
          KeepSome(std::move(node.durable_content), node.unsynced, random);
  }
  node.unsynced.clear();
  node.content = node.durable_content;
}

void ListFiles(const Node& directory, const std::string& prefix,
               std::vector<std::string>& paths) {
  for (const auto& [name, child] : directory.entries) {
    const std::string path = fmt::format("{}/{}", prefix, name);
    if (child->is_directory) {
      ListFiles(*child, path, paths);
    } else {
      paths.push_back(path);
    }
  }
}

std::vector<std::string> Split(std::string_view path) {
  std::vector<std::string> names;
  while (!path.empty()) {
    const std::string_view name = path.substr(0, path.find('/'));
    if (!name.empty() && name != ".") names.emplace_back(name);
    path.remove_prefix(std::min(name.size() + 1, path.size()));
  }
  return names;
}

// A change of directory entries that is kept or lost as one: a name that comes,
// goes (without a node), or both when it is renamed.
struct EntryChange {
  NodePtr directory;
  std::string name;
  NodePtr node;
};
using DirectoryChange = std::vector<EntryChange>;

void Set(Entries& entries, const EntryChange& change) {
  if (change.node == nullptr) {
    entries.erase(change.name);
  } else {
    entries[change.name] = change.node;
  }
}

// Where a path leads.
struct Place {
  int error = 0;  // of the directories on the way
  NodePtr parent;
  std::string name;  // in parent; empty for the root
  NodePtr node;      // null if there is none
};

}  // namespace

class FaultyFileSystem::Disk {
 public:
  // Processes are numbered; a crash starts the next one.
  std::uint64_t process() const {
    absl::MutexLock lock(&mu_);
    return process_;
  }

  // What the fault says to an operation that is about to begin.
  absl::Status Before(std::uint64_t process, Operation operation,
                      const std::string& path) const {
    Fault fault;
    {
      absl::MutexLock lock(&mu_);
      if (!Lives(process)) return Dead(path, NameOf(operation));
      fault = fault_;
    }
    return fault ? fault(operation, path) : absl::OkStatus();
  }

  void Crash(CrashMode mode, std::mt19937_64& random) {
    absl::MutexLock lock(&mu_);
    ++process_;
    stopped_ = false;
    open_files_ = 0;
    if (mode == CrashMode::kKillProcess) return;
    KeepDirectoryChanges(random);
    CutPower(*root_, random);
  }

  void Stop() {
    absl::MutexLock lock(&mu_);
    stopped_ = true;
  }

  void SetFault(Fault fault) {
    absl::MutexLock lock(&mu_);
    fault_ = std::move(fault);
  }

  void SetShortWrites(std::uint64_t seed) {
    absl::MutexLock lock(&mu_);
    short_writes_.emplace(seed);
  }

  void SetCapacity(std::uint64_t bytes) {
    absl::MutexLock lock(&mu_);
    capacity_ = bytes;
  }

  std::string Contents(const std::string& path) const {
    absl::MutexLock lock(&mu_);
    const Place place = Find(path);
    if (place.node == nullptr || place.node->is_directory) {
      throw std::invalid_argument(fmt::format("{}: is no file", path));
    }
    return place.node->content;
  }

  void SetContents(const std::string& path, std::string_view bytes) {
    absl::MutexLock lock(&mu_);
    const std::vector<std::string> names = Split(path);
    NodePtr node = root_;
    for (std::size_t i = 0; i < names.size(); ++i) {
      const bool is_directory = i + 1 < names.size();
      NodePtr& child = node->entries[names[i]];
      if (child == nullptr) {
        child = MakeNode(is_directory);
        unsynced_.push_back({{node, names[i], child}});
      }
      KeepChangesOf({node.get()});
      node = child;
    }
    node->content = node->durable_content = bytes;
    node->unsynced.clear();
  }

  std::vector<std::string> Files() const {
    absl::MutexLock lock(&mu_);
    std::vector<std::string> paths;
    ListFiles(*root_, "", paths);
    std::sort(paths.begin(), paths.end());
    return paths;
  }

  std::uint64_t syncs() const {
    absl::MutexLock lock(&mu_);
    return syncs_;
  }
  std::uint64_t directory_syncs() const {
    absl::MutexLock lock(&mu_);
    return directory_syncs_;
  }
  int open_files() const {
    absl::MutexLock lock(&mu_);
    return open_files_;
  }
  int max_open_files() const {
    absl::MutexLock lock(&mu_);
    return max_open_files_;
  }

  // Of an open file.

  absl::StatusOr<std::size_t> Read(std::uint64_t process,
                                   const std::string& path, const Node& file,
                                   std::uint64_t offset, char* out,
                                   std::size_t size) const {
    absl::MutexLock lock(&mu_);
    if (!Lives(process)) return Dead(path, "read");
    if (offset >= file.content.size()) return 0;
    return file.content.copy(out, size, offset);
  }

  // `fault` is what Before has said.
  absl::Status Write(std::uint64_t process, const std::string& path, Node& file,
                     std::uint64_t offset, std::string_view bytes,
                     const absl::Status& fault) {
    absl::MutexLock lock(&mu_);
    if (!Lives(process)) return Dead(path, "write");
    if (fault.ok()) return DoWrite(path, file, offset, bytes);
    if (short_writes_) {
      DoWrite(path, file, offset,
              bytes.substr(0, Pick(*short_writes_, bytes.size())))
          .IgnoreError();
    }
    return fault;
  }

  absl::Status Sync(std::uint64_t process, const std::string& path, Node& file,
                    const absl::Status& fault) {
    absl::MutexLock lock(&mu_);
    if (!Lives(process)) return Dead(path, "sync");
    if (!fault.ok()) {
      file.unsynced.clear();
      return fault;
    }
    SyncFile(file);
    ++syncs_;
    return absl::OkStatus();
  }

  absl::Status Resize(std::uint64_t process, const std::string& path,
                      Operation operation, Node& file, std::uint64_t size) {
    absl::MutexLock lock(&mu_);
    if (!Lives(process)) return Dead(path, NameOf(operation));
    const std::uint64_t present = file.content.size();
    if (operation == Operation::kAllocate && size <= present) {
      return absl::OkStatus();
    }
    if (size > present && size - present > Room()) {
      return Error(path, operation, ENOSPC);
    }
    Change(file, {.offset = size});
    return absl::OkStatus();
  }

  absl::StatusOr<std::uint64_t> Size(std::uint64_t process,
                                     const std::string& path,
                                     const Node& file) const {
    absl::MutexLock lock(&mu_);
    if (!Lives(process)) return Dead(path, "size");
    return file.content.size();
  }

  void Close(std::uint64_t process) {
    absl::MutexLock lock(&mu_);
    if (process == process_) --open_files_;
  }

  void Unlock(std::uint64_t process, Node& file) {
    absl::MutexLock lock(&mu_);
    if (Lives(process)) file.locked_by = 0;
  }

  // Of the file system.

  absl::StatusOr<NodePtr> Open(std::uint64_t process, const std::string& path,
                               Mode mode) {
    absl::MutexLock lock(&mu_);
    if (!Lives(process)) return Dead(path, "open");
    Place place = Find(path);
    if (place.error != 0) return Error(path, Operation::kOpen, place.error);
    if (place.node == nullptr) {
      if (mode != Mode::kCreate) return Error(path, Operation::kOpen, ENOENT);
      place.node = MakeNode(false);
      ChangeEntries({{place.parent, place.name, place.node}});
    } else if (place.node->is_directory) {
      return Error(path, Operation::kOpen, EISDIR);
    } else if (mode == Mode::kCreate) {
      ChangeEntries({{place.parent, place.name, nullptr}});
      place.node = MakeNode(false);
      ChangeEntries({{place.parent, place.name, place.node}});
    }
    max_open_files_ = std::max(max_open_files_, ++open_files_);
    return place.node;
  }

  absl::Status CreateDirectory(std::uint64_t process, const std::string& path) {
    constexpr Operation kThis = Operation::kCreateDirectory;
    absl::MutexLock lock(&mu_);
    if (!Lives(process)) return Dead(path, NameOf(kThis));
    const Place place = Find(path);
    if (place.error != 0) return Error(path, kThis, place.error);
    if (place.node == nullptr) {
      ChangeEntries({{place.parent, place.name, MakeNode(true)}});
    } else if (!place.node->is_directory) {
      return Error(path, kThis, EEXIST);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> List(std::uint64_t process,
                                                const std::string& path) const {
    absl::MutexLock lock(&mu_);
    if (!Lives(process)) return Dead(path, "list");
    absl::StatusOr<NodePtr> directory = FindDirectory(path, Operation::kList);
    if (!directory.ok()) return directory.status();
    std::vector<std::string> names;
    for (const auto& [name, node] : (*directory)->entries) {
      names.push_back(name);
    }
    return names;
  }

  absl::Status Rename(std::uint64_t process, const std::string& from,
                      const std::string& to) {
    const std::string operation = fmt::format("rename to {}", to);
    absl::MutexLock lock(&mu_);
    if (!Lives(process)) return Dead(from, operation);
    const Place source = Find(from);
    const Place target = Find(to);
    if (const int error = WhyNotRename(source, target); error != 0) {
      return FileError(from, operation, error);
    }
    if (source.node == target.node) return absl::OkStatus();
    ChangeEntries({{source.parent, source.name, nullptr},
                   {target.parent, target.name, source.node}});
    return absl::OkStatus();
  }

  absl::Status Remove(std::uint64_t process, const std::string& path) {
    absl::MutexLock lock(&mu_);
    if (!Lives(process)) return Dead(path, "remove");
    const Place place = Find(path);
    int error = place.error;
    if (error == 0 && place.node == nullptr) error = ENOENT;
    if (error == 0 && place.node == root_) error = EBUSY;
    if (error == 0 && !place.node->entries.empty()) error = ENOTEMPTY;
    if (error != 0) return Error(path, Operation::kRemove, error);
    ChangeEntries({{place.parent, place.name, nullptr}});
    return absl::OkStatus();
  }

  absl::Status SyncDirectory(std::uint64_t process, const std::string& path) {
    constexpr Operation kThis = Operation::kSyncDirectory;
    absl::MutexLock lock(&mu_);
    if (!Lives(process)) return Dead(path, NameOf(kThis));
    absl::StatusOr<NodePtr> directory = FindDirectory(path, kThis);
    if (!directory.ok()) return directory.status();
    KeepChangesOf({directory->get()});
    ++directory_syncs_;
    return absl::OkStatus();
  }

  absl::Status SyncAll(std::uint64_t process, const std::string& path,
                       const absl::Status& fault) {
    constexpr Operation kThis = Operation::kSyncAll;
    absl::MutexLock lock(&mu_);
    if (!Lives(process)) return Dead(path, NameOf(kThis));
    absl::StatusOr<NodePtr> directory = FindDirectory(path, kThis);
    if (!directory.ok()) return directory.status();
    if (!fault.ok()) {
      ForgetAll(*root_);
      return fault;
    }
    for (const DirectoryChange& change : unsynced_) {
      for (const EntryChange& entry : change) {
        Set(entry.directory->durable_entries, entry);
      }
    }
    unsynced_.clear();
    SyncAllFiles(*root_);
    ++syncs_;
    return absl::OkStatus();
  }

  absl::StatusOr<NodePtr> Lock(std::uint64_t process, const std::string& path) {
    absl::MutexLock lock(&mu_);
    if (!Lives(process)) return Dead(path, "lock");
    Place place = Find(path);
    if (place.error == 0 && place.node != nullptr && place.node->is_directory) {
      place.error = EISDIR;
    }
    if (place.error != 0) return Error(path, Operation::kLock, place.error);
    if (place.node == nullptr) {
      place.node = MakeNode(false);
      ChangeEntries({{place.parent, place.name, place.node}});
    }
    Node& file = *place.node;
    if (file.locked_by == process) return Locked(path);
    const std::string pid = fmt::format("{}\n", getpid());
    if (absl::Status s = DoWrite(path, file, 0, pid); !s.ok()) return s;
    Change(file, {.offset = pid.size()});
    file.locked_by = process;
    return place.node;
  }

  // Null if there is no such file.
  absl::StatusOr<NodePtr> LockToRead(std::uint64_t process,
                                     const std::string& path) {
    absl::MutexLock lock(&mu_);
    if (!Lives(process)) return Dead(path, "lock");
    Place place = Find(path);
    if (place.error != 0) return Error(path, Operation::kLock, place.error);
    if (place.node == nullptr) return place.node;
    if (place.node->locked_by == process) return Locked(path);
    place.node->locked_by = process;
    return place.node;
  }

 private:
  static absl::Status Locked(const std::string& path) {
    return absl::FailedPreconditionError(
        fmt::format("{}: is locked by process {}", path, getpid()));
  }

  bool Lives(std::uint64_t process) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return process == process_ && !stopped_;
  }

  Place Find(const std::string& path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Place place{.node = root_};
    for (const std::string& name : Split(path)) {
      if (place.node == nullptr) return {.error = ENOENT};
      if (!place.node->is_directory) return {.error = ENOTDIR};
      place.parent = std::move(place.node);
      place.name = name;
      const auto it = place.parent->entries.find(name);
      place.node = it == place.parent->entries.end() ? nullptr : it->second;
    }
    return place;
  }

  absl::StatusOr<NodePtr> FindDirectory(const std::string& path,
                                        Operation operation) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Place place = Find(path);
    if (place.error != 0) return Error(path, operation, place.error);
    if (place.node == nullptr) return Error(path, operation, ENOENT);
    if (!place.node->is_directory) return Error(path, operation, ENOTDIR);
    return std::move(place.node);
  }

  int WhyNotRename(const Place& from, const Place& to) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (from.error != 0) return from.error;
    if (to.error != 0) return to.error;
    if (from.node == nullptr) return ENOENT;
    if (from.node == root_ || to.node == root_) return EBUSY;
    if (Contains(*from.node, to.parent.get())) return EINVAL;
    if (to.node == nullptr) return 0;
    if (to.node->is_directory && !from.node->is_directory) return EISDIR;
    if (!to.node->is_directory && from.node->is_directory) return ENOTDIR;
    return to.node->entries.empty() || to.node == from.node ? 0 : ENOTEMPTY;
  }

  static bool Contains(const Node& node, const Node* other) {
    if (&node == other) return true;
    return std::any_of(
        node.entries.begin(), node.entries.end(),
        [&](const auto& entry) { return Contains(*entry.second, other); });
  }

  void ChangeEntries(DirectoryChange change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    for (const EntryChange& entry : change) {
      Set(entry.directory->entries, entry);
    }
    unsynced_.push_back(std::move(change));
  }

  // Makes all changes to `directories` durable, and of the others those that
  // come with them or before.
  void KeepChangesOf(const std::vector<const Node*>& directories)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::map<const Node*, std::size_t> lost;
    for (const DirectoryChange& change : unsynced_) {
      for (const EntryChange& entry : change) ++lost[entry.directory.get()];
    }
    for (const Node* directory : directories) lost[directory] = 0;
    KeepAllBut(std::move(lost));
  }

  void KeepDirectoryChanges(std::mt19937_64& random)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    // In order of their first change, so that chance alone depends on `random`,
    // not on addresses.
    std::vector<const Node*> directories;
    std::map<const Node*, std::size_t> lost;
    for (const DirectoryChange& change : unsynced_) {
      for (const EntryChange& entry : change) {
        if (lost[entry.directory.get()]++ == 0) {
          directories.push_back(entry.directory.get());
        }
      }
    }
    for (const Node* directory : directories) {
      lost[directory] = Pick(random, lost[directory]);
    }
    KeepAllBut(std::move(lost));
    unsynced_.clear();
  }

  // Makes the changes durable, except the last ones of each directory, as many
  // as `lost` says. One that a kept change comes with, or goes before, is kept.
  void KeepAllBut(std::map<const Node*, std::size_t> lost)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::vector<bool> kept(unsynced_.size());
    for (std::size_t i = unsynced_.size(); i-- > 0;) {
      const DirectoryChange& change = unsynced_[i];
      kept[i] = std::any_of(change.begin(), change.end(), [&](const auto& e) {
        return lost[e.directory.get()] == 0;
      });
      for (const EntryChange& entry : change) {
        std::size_t& left = lost[entry.directory.get()];
        left = kept[i] || left == 0 ? 0 : left - 1;
      }
    }
    std::vector<DirectoryChange> remaining;
    for (std::size_t i = 0; i < unsynced_.size(); ++i) {
      if (!kept[i]) {
        remaining.push_back(std::move(unsynced_[i]));
        continue;
      }
      for (const EntryChange& entry : unsynced_[i]) {
        Set(entry.directory->durable_entries, entry);
      }
    }
    unsynced_ = std::move(remaining);
  }

  // By how much the files may grow.
  std::uint64_t Room() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (capacity_ == kUnlimited) return kUnlimited;
    return capacity_ - std::min(capacity_, TotalSize(*root_));
  }

  absl::Status DoWrite(const std::string& path, Node& file,
                       std::uint64_t offset, std::string_view bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const std::uint64_t present = file.content.size();
    const std::uint64_t end = offset + bytes.size();
    const std::uint64_t growth = end > present ? end - present : 0;
    const std::uint64_t excess = growth - std::min(growth, Room());
    const std::string_view fits =
        bytes.substr(0, bytes.size() - std::min(bytes.size(), excess));
    if (!fits.empty()) {
      Change(file, {.offset = offset, .bytes = std::string(fits)});
    }
    if (fits.size() < bytes.size()) {
      return Error(path, Operation::kWrite, ENOSPC);
    }
    return absl::OkStatus();
  }

  mutable absl::Mutex mu_;
  const NodePtr root_ = MakeNode(true);
  // Changes to directories, oldest first.
  std::vector<DirectoryChange> unsynced_ ABSL_GUARDED_BY(mu_);
  std::uint64_t process_ ABSL_GUARDED_BY(mu_) = 1;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  Fault fault_ ABSL_GUARDED_BY(mu_);
  std::optional<std::mt19937_64> short_writes_ ABSL_GUARDED_BY(mu_);
  std::uint64_t capacity_ ABSL_GUARDED_BY(mu_) = kUnlimited;
  std::uint64_t syncs_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t directory_syncs_ ABSL_GUARDED_BY(mu_) = 0;
  int open_files_ ABSL_GUARDED_BY(mu_) = 0;
  int max_open_files_ ABSL_GUARDED_BY(mu_) = 0;
};

class FaultyFileSystem::OpenFile final : public File {
 public:
  OpenFile(std::shared_ptr<Disk> disk, std::uint64_t process, std::string path,
           Mode mode, NodePtr node)
      : disk_(std::move(disk)),
        process_(process),
        path_(std::move(path)),
        writable_(mode != Mode::kRead),
        node_(std::move(node)) {}
  ~OpenFile() override { disk_->Close(process_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  absl::StatusOr<std::size_t> Read(std::uint64_t offset, char* out,
                                   std::size_t size) override {
    if (absl::Status s = Before(Operation::kRead); !s.ok()) return s;
    return disk_->Read(process_, path_, *node_, offset, out, size);
  }

  absl::Status Write(std::uint64_t offset, std::string_view bytes) override {
    if (!writable_) return Error(path_, Operation::kWrite, EBADF);
    return disk_->Write(process_, path_, *node_, offset, bytes,
                        Before(Operation::kWrite));
  }

  absl::Status Sync() override {
    return disk_->Sync(process_, path_, *node_, Before(Operation::kSync));
  }

  absl::Status Truncate(std::uint64_t size) override {
    if (!writable_) return Error(path_, Operation::kTruncate, EINVAL);
    return Resize(Operation::kTruncate, size);
  }

  absl::Status Allocate(std::uint64_t size) override {
    if (!writable_) return Error(path_, Operation::kAllocate, EBADF);
    return Resize(Operation::kAllocate, size);
  }

  absl::StatusOr<std::uint64_t> Size() override {
    return disk_->Size(process_, path_, *node_);
  }

  void WillNeed(std::uint64_t /*offset*/, std::size_t /*size*/) override {}

 private:
  absl::Status Before(Operation operation) const {
    return disk_->Before(process_, operation, path_);
  }

  absl::Status Resize(Operation operation, std::uint64_t size) {
    if (absl::Status s = Before(operation); !s.ok()) return s;
    return disk_->Resize(process_, path_, operation, *node_, size);
  }

  const std::shared_ptr<Disk> disk_;
  const std::uint64_t process_;
  const std::string path_;
  const bool writable_;
  const NodePtr node_;
};

class FaultyFileSystem::HeldLock final : public FileLock {
 public:
  HeldLock(std::shared_ptr<Disk> disk, std::uint64_t process, NodePtr node)
      : disk_(std::move(disk)), process_(process), node_(std::move(node)) {}
  ~HeldLock() override {
    if (node_ != nullptr) disk_->Unlock(process_, *node_);
  }
  HeldLock(const HeldLock&) = delete;
  HeldLock& operator=(const HeldLock&) = delete;

  bool held() const override { return node_ != nullptr; }

 private:
  const std::shared_ptr<Disk> disk_;
  const std::uint64_t process_;
  const NodePtr node_;
};

FaultyFileSystem::FaultyFileSystem() : disk_(std::make_shared<Disk>()) {}

void FaultyFileSystem::Crash(CrashMode mode, std::mt19937_64& random) {
  disk_->Crash(mode, random);
}

void FaultyFileSystem::Stop() {
  disk_->Stop();
}

void FaultyFileSystem::SetFault(Fault fault) {
  disk_->SetFault(std::move(fault));
}

void FaultyFileSystem::SetShortWrites(std::uint64_t seed) {
  disk_->SetShortWrites(seed);
}

void FaultyFileSystem::SetCapacity(std::uint64_t bytes) {
  disk_->SetCapacity(bytes);
}

std::string FaultyFileSystem::Contents(const std::string& path) const {
  return disk_->Contents(path);
}

void FaultyFileSystem::SetContents(const std::string& path,
                                   std::string_view bytes) {
  disk_->SetContents(path, bytes);
}

std::vector<std::string> FaultyFileSystem::Files() const {
  return disk_->Files();
}

std::uint64_t FaultyFileSystem::syncs() const {
  return disk_->syncs();
}

std::uint64_t FaultyFileSystem::directory_syncs() const {
  return disk_->directory_syncs();
}

int FaultyFileSystem::open_files() const {
  return disk_->open_files();
}

int FaultyFileSystem::max_open_files() const {
  return disk_->max_open_files();
}

absl::StatusOr<std::unique_ptr<File>> FaultyFileSystem::Open(
    const std::string& path, Mode mode) {
  const std::uint64_t process = disk_->process();
  if (absl::Status s = disk_->Before(process, Operation::kOpen, path);
      !s.ok()) {
    return s;
  }
  absl::StatusOr<NodePtr> node = disk_->Open(process, path, mode);
  if (!node.ok()) return node.status();
  return std::make_unique<OpenFile>(disk_, process, path, mode,
                                    *std::move(node));
}

absl::Status FaultyFileSystem::CreateDirectory(const std::string& path) {
  const std::uint64_t process = disk_->process();
  absl::Status s = disk_->Before(process, Operation::kCreateDirectory, path);
  return s.ok() ? disk_->CreateDirectory(process, path) : s;
}

absl::StatusOr<std::vector<std::string>> FaultyFileSystem::List(
    const std::string& directory) {
  const std::uint64_t process = disk_->process();
  absl::Status s = disk_->Before(process, Operation::kList, directory);
  if (!s.ok()) return s;
  return disk_->List(process, directory);
}

absl::Status FaultyFileSystem::Rename(const std::string& from,
                                      const std::string& to) {
  const std::uint64_t process = disk_->process();
  absl::Status s = disk_->Before(process, Operation::kRename, from);
  return s.ok() ? disk_->Rename(process, from, to) : s;
}

absl::Status FaultyFileSystem::Remove(const std::string& path) {
  const std::uint64_t process = disk_->process();
  absl::Status s = disk_->Before(process, Operation::kRemove, path);
  return s.ok() ? disk_->Remove(process, path) : s;
}

absl::Status FaultyFileSystem::SyncDirectory(const std::string& path) {
  const std::uint64_t process = disk_->process();
  absl::Status s = disk_->Before(process, Operation::kSyncDirectory, path);
  return s.ok() ? disk_->SyncDirectory(process, path) : s;
}

absl::Status FaultyFileSystem::SyncAll(const std::string& directory) {
  const std::uint64_t process = disk_->process();
  return disk_->SyncAll(process, directory,
                        disk_->Before(process, Operation::kSyncAll, directory));
}

absl::StatusOr<std::unique_ptr<FileLock>> FaultyFileSystem::Lock(
    const std::string& path) {
  const std::uint64_t process = disk_->process();
  if (absl::Status s = disk_->Before(process, Operation::kLock, path);
      !s.ok()) {
    return s;
  }
  absl::StatusOr<NodePtr> node = disk_->Lock(process, path);
  if (!node.ok()) return node.status();
  return std::make_unique<HeldLock>(disk_, process, *std::move(node));
}

absl::StatusOr<std::unique_ptr<FileLock>> FaultyFileSystem::LockToRead(
    const std::string& path) {
  auto lock = Lock(path);
  if (lock.ok() || absl::IsFailedPrecondition(lock.status())) return lock;
  const std::uint64_t process = disk_->process();
  absl::StatusOr<NodePtr> node = disk_->LockToRead(process, path);
  if (!node.ok()) return node.status();
  return std::make_unique<HeldLock>(disk_, process, *std::move(node));
}

}  // namespace messenger::test
