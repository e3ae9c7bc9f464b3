#include "messenger/security_tools.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/status.h"
#include "security/fields.h"
#include "security/tokens.h"
#include "support/printing.h"
#include "support/temporary_directory.h"

namespace messenger::security_tools_test {
namespace {

using test::Contains;
using test::TemporaryDirectory;

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteFile(const std::string& path, std::string_view contents) {
  std::ofstream(path, std::ios::binary) << contents;
}

mode_t ModeOf(const std::string& path) {
  struct stat info = {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  return info.st_mode & 07777U;
}

std::vector<std::string> FilesIn(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The umask of the process, for as long as this lives.
class Umask {
 public:
  explicit Umask(mode_t mask) : before_(umask(mask)) {}
  ~Umask() { umask(before_); }
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;

 private:
  const mode_t before_;
};

// ---- Tokens

struct TokensFile {
  TemporaryDirectory directory;
  std::string path = directory.path() + "/tokens";
};

NewToken Added(const std::string& path, std::string_view identity) {
  const auto added = AddToken(path, identity, std::nullopt);
  REQUIRE_MESSAGE(added.ok(), added.status().ToString());
  return *added;
}

TEST_CASE_FIXTURE(TokensFile,
                  "token tools: a token that was added is in the file") {
  const auto before = std::chrono::system_clock::now();
  const auto added = AddToken(path, "Ann Lee", std::chrono::hours(1));
  const auto after = std::chrono::system_clock::now();
  REQUIRE(added.ok());
  CHECK(added->info.identity == "Ann Lee");
  CHECK(added->info.created <= after);
  CHECK(added->info.created > before - std::chrono::seconds(1));
  REQUIRE(added->info.expires.has_value());
  CHECK(*added->info.expires >= before + std::chrono::hours(1));
  CHECK(*added->info.expires <
        after + std::chrono::hours(1) + std::chrono::seconds(1));

  const auto tokens = Tokens::Parse(Contents(path));
  REQUIRE(tokens.ok());
  const auto presented = ParseToken(added->token);
  REQUIRE(presented.has_value());
  CHECK(presented->id == added->info.id);
  const Tokens::Token* const found = tokens->Find(*presented);
  REQUIRE(found != nullptr);
  CHECK(found->identity == "Ann Lee");
  CHECK(found->expires == added->info.expires);
  CHECK(!Contains(Contents(path), added->token.substr(19)));

  const auto listed = ListTokens(path);
  REQUIRE(listed.ok());
  CHECK(*listed == std::vector{added->info});
}

TEST_CASE_FIXTURE(TokensFile,
                  "token tools: a token in a file of its own is its owner's "
                  "alone, and never overwrites one") {
  const std::string out = directory.path() + "/ann.token";
  {
    const Umask open(0);
    const auto added = AddToken(path, "ann", std::nullopt, out);
    REQUIRE(added.ok());
    CHECK(Contents(out) == added->token + "\n");
  }
  struct stat info = {};
  REQUIRE(stat(out.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777U) == 0600);
  const std::string before = Contents(out);
  const auto again = AddToken(path, "ann", std::nullopt, out);
  CHECK(absl::IsAlreadyExists(again.status()));
  CHECK(MessageOf(again.status()).starts_with(out + ": "));
  CHECK(Contents(out) == before);
  CHECK(ListTokens(path)->size() == 1);
  // Nor the file of tokens itself, new or not.
  CHECK(absl::IsAlreadyExists(
      AddToken(path, "ann", std::nullopt, path).status()));
  const std::string new_one = directory.path() + "/new";
  CHECK(absl::IsAlreadyExists(
      AddToken(new_one, "ann", std::nullopt, new_one).status()));
  CHECK_FALSE(std::filesystem::exists(new_one));
}

TEST_CASE_FIXTURE(TokensFile,
                  "token tools: where no token is added, no file is left") {
  const std::string out = directory.path() + "/ann.token";
  std::ofstream(path) << "malformed";
  CHECK_FALSE(AddToken(path, "ann", std::nullopt, out).ok());
  CHECK_FALSE(std::filesystem::exists(out));
  CHECK(absl::IsNotFound(AddToken(directory.path() + "/tokens2", "ann",
                                  std::nullopt, directory.path() + "/no/out")
                             .status()));
  CHECK_FALSE(std::filesystem::exists(directory.path() + "/tokens2"));
}

TEST_CASE_FIXTURE(
    TokensFile,
    "token tools: tokens are listed in the order in which they were made") {
  const std::vector<TokenInfo> infos = {
      Added(path, "c").info, Added(path, "a").info, Added(path, "b").info,
      Added(path, "a").info};
  CHECK(!infos[0].expires.has_value());
  const auto listed = ListTokens(path);
  REQUIRE(listed.ok());
  CHECK(*listed == infos);
}

TEST_CASE_FIXTURE(TokensFile,
                  "token tools: a token that was revoked is not there any "
                  "more, all others are") {
  const TokenInfo first = Added(path, "ann").info;
  const TokenInfo second = Added(path, "bob").info;
  const auto revoked = RevokeToken(path, first.id);
  REQUIRE(revoked.ok());
  CHECK(*revoked == first);
  CHECK(*ListTokens(path) == std::vector{second});
  const auto again = RevokeToken(path, first.id);
  CHECK(again.status().code() == absl::StatusCode::kNotFound);
  CHECK(Contains(MessageOf(again.status()), first.id));
}

TEST_CASE_FIXTURE(
    TokensFile,
    "token tools: a new file is its owner's alone, whatever the umask is") {
  for (const mode_t mask : {mode_t{0}, mode_t{0777}}) {
    const Umask umask(mask);
    Added(path, "ann");
    CHECK(ModeOf(path) == 0600);
    std::filesystem::remove(path);
  }
}

TEST_CASE_FIXTURE(TokensFile, "token tools: a file keeps its mode") {
  Added(path, "ann");
  REQUIRE(chmod(path.c_str(), 0640) == 0);
  const Umask umask(0777);
  const std::string id = Added(path, "bob").info.id;
  CHECK(ModeOf(path) == 0640);
  CHECK(RevokeToken(path, id).ok());
  CHECK(ModeOf(path) == 0640);
}

TEST_CASE_FIXTURE(TokensFile, "token tools: a file keeps its owner") {
  if (geteuid() != 0) return;  // only root can give files away
  Added(path, "ann");
  REQUIRE(chown(path.c_str(), 1234, 2345) == 0);
  Added(path, "bob");
  struct stat info = {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK(info.st_uid == 1234);
  CHECK(info.st_gid == 2345);
  CHECK(ModeOf(path) == 0600);
}

TEST_CASE_FIXTURE(TokensFile,
                  "token tools: what a command that was cut off has left "
                  "behind is cleared away") {
  Added(path, "ann");
  WriteFile(directory.path() + "/.tokens.messenger-new", "half of");
  Added(path, "bob");
  CHECK(ListTokens(path)->size() == 2);
  CHECK(FilesIn(directory.path()) == std::vector<std::string>{"tokens"});
}

TEST_CASE_FIXTURE(TokensFile,
                  "token tools: a symbolic link to the file stays one") {
  const std::string link = directory.path() + "/link";
  REQUIRE(symlink("tokens", link.c_str()) == 0);
  const auto added = AddToken(link, "ann", std::nullopt);
  CHECK(absl::IsNotFound(added.status()));
  CHECK(Contains(MessageOf(added.status()), "is a symbolic link to"));
  Added(path, "ann");
  Added(link, "bob");
  CHECK(std::filesystem::is_symlink(link));
  CHECK(ListTokens(path)->size() == 2);
}

TEST_CASE_FIXTURE(
    TokensFile,
    "token tools: commands that run at the same time lose no token") {
  constexpr int kThreads = 8;
  constexpr int kTokens = 10;
  std::vector<std::vector<std::string>> kept(kThreads);
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < kTokens; ++j) {
        const auto added = AddToken(path, fmt::format("{}", i), std::nullopt);
        if (!added.ok()) return;
        // Each second one goes again.
        if (j % 2 == 0) {
          if (!RevokeToken(path, added->info.id).ok()) return;
        } else {
          kept.at(static_cast<std::size_t>(i)).push_back(added->info.id);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::multiset<std::string> expected;
  for (const auto& ids : kept) {
    CHECK(ids.size() == kTokens / 2);
    expected.insert(ids.begin(), ids.end());
  }
  const auto listed = ListTokens(path);
  REQUIRE(listed.ok());
  std::multiset<std::string> found;
  for (const TokenInfo& token : *listed) found.insert(token.id);
  CHECK(found == expected);
  CHECK(FilesIn(directory.path()) == std::vector<std::string>{"tokens"});
}

TEST_CASE_FIXTURE(TokensFile,
                  "token tools: values that are out of bounds are refused, and "
                  "leave no file") {
  for (const std::string_view identity :
       {"", "*", "anonymous", "a\"b", "a\nb"}) {
    const auto added = AddToken(path, identity, std::nullopt);
    CHECK(absl::IsInvalidArgument(added.status()));
    CHECK(MessageOf(added.status()).starts_with("identity: "));
  }
  for (const auto lifetime : {std::chrono::seconds(0), std::chrono::seconds(-1),
                              std::chrono::seconds::max()}) {
    const auto added = AddToken(path, "ann", lifetime);
    CHECK(absl::IsInvalidArgument(added.status()));
    CHECK(MessageOf(added.status()).starts_with("lifetime: "));
  }
  CHECK(FilesIn(directory.path()).empty());
}

TEST_CASE_FIXTURE(TokensFile,
                  "token tools: a file that is malformed is not touched") {
  const std::string malformed = "abcd1234 ann what-is-this 1 never\n";
  WriteFile(path, malformed);
  for (const absl::Status& status :
       {AddToken(path, "ann", std::nullopt).status(), ListTokens(path).status(),
        RevokeToken(path, "abcd1234").status()}) {
    CHECK(absl::IsInvalidArgument(status));
    CHECK(MessageOf(status) ==
          path + ": line 1: digest: must be 64 of 0-9 a-f");
  }
  CHECK(Contents(path) == malformed);
}

TEST_CASE_FIXTURE(TokensFile,
                  "token tools: what is not there, or is no file, is said") {
  CHECK(absl::IsNotFound(ListTokens(path).status()));
  CHECK(absl::IsNotFound(RevokeToken(path, "abcd1234").status()));
  CHECK(FilesIn(directory.path()).empty());
  CHECK(absl::IsNotFound(
      AddToken(directory.path() + "/no/tokens", "ann", std::nullopt).status()));
  for (const auto& status :
       {ListTokens(directory.path()).status(),
        AddToken(directory.path(), "ann", std::nullopt).status()}) {
    CHECK(!status.ok());
    CHECK(MessageOf(status).starts_with(directory.path() + ": "));
  }
  // Nothing waits for somebody to write to it.
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  CHECK(absl::IsInvalidArgument(ListTokens(path).status()));
  CHECK(absl::IsInvalidArgument(AddToken(path, "ann", std::nullopt).status()));
}

TEST_CASE_FIXTURE(TokensFile,
                  "token tools: a file that is too large is not read") {
  WriteFile(path, "");
  REQUIRE(truncate(path.c_str(), off_t{1} << 40U) == 0);
  CHECK(absl::IsInvalidArgument(ListTokens(path).status()));
  CHECK(absl::IsInvalidArgument(AddToken(path, "ann", std::nullopt).status()));
}

TEST_CASE_FIXTURE(
    TokensFile,
    "token tools: a token in place of its id is not repeated, its id is told") {
  const NewToken added = Added(path, "ann");
  const auto revoked = RevokeToken(path, added.token);
  CHECK(absl::IsInvalidArgument(revoked.status()));
  CHECK(Contains(MessageOf(revoked.status()), added.info.id));
  CHECK(!Contains(MessageOf(revoked.status()), added.token.substr(19)));
  const auto cut = RevokeToken(path, added.token.substr(0, 60));
  CHECK(absl::IsInvalidArgument(cut.status()));
  CHECK(!Contains(MessageOf(cut.status()), added.token.substr(19, 20)));
  CHECK(ListTokens(path)->size() == 1);
}

// ---- Rights

TEST_CASE("rights tool: says of each right which line allows it") {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/rights";
  WriteFile(path, "# rights\nann send-as news.*\n* read news.eu\n");
  const auto explained = ExplainRights(path, "ann", "news.eu");
  REQUIRE(explained.ok());
  CHECK(*explained ==
        std::vector<RightExplanation>{{.right = "send",
                                       .allowed = true,
                                       .line = 2,
                                       .text = "ann send-as news.*"},
                                      {.right = "read",
                                       .allowed = true,
                                       .line = 3,
                                       .text = "* read news.eu"},
                                      {.right = "admin"},
                                      {.right = "send-as",
                                       .allowed = true,
                                       .line = 2,
                                       .text = "ann send-as news.*"}});
  for (const std::string_view nobody : {"", "anonymous"}) {
    const auto anonymous = ExplainRights(path, nobody, "news.eu");
    REQUIRE(anonymous.ok());
    CHECK(!(*anonymous)[0].allowed);
    CHECK((*anonymous)[1].allowed);
  }
}

TEST_CASE("rights tool: an error names what is wrong") {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/rights";
  CHECK(absl::IsNotFound(ExplainRights(path, "ann", "news").status()));
  WriteFile(path, "ann sned news\n");
  const auto malformed = ExplainRights(path, "ann", "news").status();
  CHECK(absl::IsInvalidArgument(malformed));
  CHECK(MessageOf(malformed).starts_with(path + ": line 1: rights: \"sned\""));
  WriteFile(path, "");
  CHECK(MessageOf(ExplainRights(path, "*", "news").status())
            .starts_with("identity: "));
  CHECK(MessageOf(ExplainRights(path, "ann", "a b").status())
            .starts_with("channel: "));
}

}  // namespace
}  // namespace messenger::security_tools_test
