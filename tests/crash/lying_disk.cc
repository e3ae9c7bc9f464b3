// A disk that says that it has synced the rounds of a journal and has not, for
// the process that this library is loaded into: what a test of power cuts has
// to find out. Everything else is synced, so that the log can be opened.
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <string>
#include <string_view>

namespace {

// A journal without rounds has nothing but its header.
constexpr off_t kJournalHeaderSize = 32;

bool IsJournalWithRounds(int file) {
  std::array<char, 4096> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(file);
  const ssize_t size = readlink(link.c_str(), path.data(), path.size());
  struct stat info {};
  return size > 0 &&
         std::string_view(path.data(), static_cast<std::size_t>(size))
             .ends_with(".journal") &&
         fstat(file, &info) == 0 && info.st_size > kJournalHeaderSize;
}

}  // namespace

// The C library's name for the parameter is reserved.
// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name)
extern "C" int fdatasync(int file) {
  if (IsJournalWithRounds(file)) return 0;
  return static_cast<int>(syscall(SYS_fdatasync, file));
}
