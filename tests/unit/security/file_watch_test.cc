// When a program learns of what has changed in its files.
#include "security/file_watch.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "support/becomes.h"
#include "support/certificates.h"
#include "support/low_descriptor_limit.h"
#include "support/printing.h"
#include "support/temporary_directory.h"

namespace messenger::file_watch_test {
namespace {

using test::Contains;

// A watch, and what it has told.
class Watched {
 public:
  explicit Watched(std::vector<FileWatch::File> files)
      : watch_(std::move(files)) {
    watch_.Start({.on_change =
                      [this](const FileWatch::Contents& contents) {
                        absl::MutexLock lock(&mu_);
                        changes_.push_back(contents);
                      },
                  .on_look =
                      [this] {
                        absl::MutexLock lock(&mu_);
                        ++looks_;
                      }});
  }

  std::vector<FileWatch::Contents> Changes() {
    absl::MutexLock lock(&mu_);
    return changes_;
  }
  // Whether there are so many, and no more after several looks.
  bool HasJust(std::size_t changes) {
    if (!test::Becomes([&] { return Changes().size() == changes; })) {
      return false;
    }
    const int start = Looks();
    return test::Becomes([&] { return Looks() >= start + 3; }) &&
           Changes().size() == changes;
  }

 private:
  int Looks() {
    absl::MutexLock lock(&mu_);
    return looks_;
  }

  absl::Mutex mu_;
  std::vector<FileWatch::Contents> changes_ ABSL_GUARDED_BY(mu_);
  int looks_ ABSL_GUARDED_BY(mu_) = 0;
  FileWatch watch_;  // last: its callbacks use all of the above
};

TEST_CASE("file watch: a change is told once, with what is in all files") {
  const test::TemporaryDirectory directory;
  const std::string one = directory.path() + "/one";
  const std::string two = directory.path() + "/two";
  test::ReplaceFile(one, "1");
  test::ReplaceFile(two, "2");
  Watched watched({{"one", one}, {"none", ""}, {"two", two}});
  CHECK(watched.HasJust(0));
  test::ReplaceFile(one, "one");
  REQUIRE(watched.HasJust(1));
  FileWatch::Contents last = watched.Changes().back();
  CHECK(last.size() == 2);
  CHECK(last.at("one").value() == "one");
  CHECK(last.at("two").value() == "2");
  std::filesystem::remove(two);
  REQUIRE(watched.HasJust(2));
  last = watched.Changes().back();
  CHECK(last.at("one").ok());
  CHECK(Contains(MessageOf(last.at("two").status()), two + ": open: No such"));
  test::ReplaceFile(two, "2");
  CHECK(test::Becomes([&] { return watched.Changes().back().at("two").ok(); }));
}

TEST_CASE("file watch: what could not be read when it changed is read later") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() + "/file";
  test::ReplaceFile(path, "old");
  test::ReplaceFile(path + ".new", "new");
  const FileWatch nowhere({{"option", path + ".none"}, {"other", path}});
  CHECK_FALSE(nowhere.Read().at("option").ok());
  Watched watched({{"option", path}});
  {
    const test::LowDescriptorLimit none(3);
    std::filesystem::rename(path + ".new", path);
    // It is told once, though it is tried again and again.
    REQUIRE(watched.HasJust(1));
  }
  CHECK(Contains(MessageOf(watched.Changes().back().at("option").status()),
                 "option: " + path + ": open: Too many open files"));
  REQUIRE(watched.HasJust(2));
  CHECK(watched.Changes().back().at("option").value() == "new");
}

TEST_CASE("file watch: without files it calls nobody") {
  const std::vector<FileWatch::File> none = {{"option", ""}};
  const FileWatch watch(none);
  CHECK(watch.empty());
  CHECK(watch.Read().empty());
}

}  // namespace
}  // namespace messenger::file_watch_test
