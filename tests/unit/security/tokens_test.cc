#include "security/tokens.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "support/printing.h"

namespace messenger::tokens_test {
namespace {

using std::chrono::seconds;
using test::Contains;

constexpr std::string_view kDigest =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

Timestamp At(std::int64_t second) {
  return Timestamp(seconds(second));
}

Tokens Parsed(std::string_view text) {
  auto tokens = Tokens::Parse(text);
  REQUIRE_MESSAGE(tokens.ok(), tokens.status().ToString());
  return *std::move(tokens);
}

std::string ErrorOf(std::string_view text) {
  const auto tokens = Tokens::Parse(text);
  if (tokens.ok()) return "OK";
  CHECK(tokens.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(MessageOf(tokens.status()));
}

struct Minted {
  std::string token;
  PresentedToken presented;
};

Minted Mint() {
  const auto token = MakeToken();
  REQUIRE(token.ok());
  const auto presented = ParseToken(*token);
  REQUIRE(presented.has_value());
  return {*token, *presented};
}

TEST_CASE("tokens: a token has an id and 256 random bits") {
  std::set<std::string> ids;
  std::set<std::string> secrets;
  for (int i = 0; i < 100; ++i) {
    const Minted minted = Mint();
    CHECK(minted.token.size() == 62);
    CHECK(minted.token.starts_with("messenger_" + minted.presented.id + "_"));
    CHECK(IsTokenId(minted.presented.id));
    ids.insert(minted.presented.id);
    secrets.insert(minted.token.substr(19));
  }
  CHECK(ids.size() == 100);
  CHECK(secrets.size() == 100);
}

TEST_CASE("tokens: the digest is the SHA-256 of the whole token") {
  const auto presented = ParseToken(
      "messenger_abcd1234_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
  REQUIRE(presented.has_value());
  CHECK(presented->id == "abcd1234");
  std::string hex;
  for (const std::uint8_t byte : presented->digest) {
    hex += fmt::format("{:02x}", byte);
  }
  CHECK(hex ==
        "e820f830600404eec7742554b05b01bfb9af545385e59186def414904404904b");
}

TEST_CASE("tokens: what has not the form of a token is none") {
  const std::string good = Mint().token;
  for (std::string bad : {std::string(), std::string("messenger_"), good + "A",
                          good.substr(0, 61), "Messenger" + good.substr(9),
                          " " + good, good + "\n"}) {
    CAPTURE(bad);
    CHECK(!ParseToken(bad).has_value());
  }
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = '!';
    CAPTURE(i);
    CHECK(!ParseToken(bad).has_value());
  }
}

TEST_CASE("tokens: they are the same after they were written and read") {
  Tokens tokens;
  const Minted forever = Mint();
  const Minted limited = Mint();
  tokens.Add({.id = forever.presented.id,
              .identity = "Ann Lee",
              .digest = forever.presented.digest,
              .created = At(0)});
  tokens.Add({.id = limited.presented.id,
              .identity = "#1",
              .digest = limited.presented.digest,
              .created = At(1'796'000'000),
              .expires = At(4'102'444'799)});
  const std::string text = tokens.Serialize();
  CAPTURE(text);
  CHECK(Contains(text, "\"Ann Lee\""));
  CHECK(Contains(text, "1970-01-01T00:00:00Z never\n"));
  CHECK(Contains(text, "2099-12-31T23:59:59Z\n"));
  for (const Minted& minted : {forever, limited}) {
    CHECK(!Contains(text, minted.token.substr(19)));
  }
  const Tokens again = Parsed(text);
  REQUIRE(again.all().size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    const Tokens::Token& a = tokens.all()[i];
    const Tokens::Token& b = again.all()[i];
    CHECK(a.id == b.id);
    CHECK(a.identity == b.identity);
    CHECK(a.digest == b.digest);
    CHECK(a.created == b.created);
    CHECK(a.expires == b.expires);
  }
  CHECK(again.Serialize() == text);
}

TEST_CASE(
    "tokens: each second of a day, and each day, is written as it is read") {
  const auto expect_same = [](Timestamp time) {
    Tokens tokens;
    tokens.Add({.id = "abcd1234", .identity = "ann", .created = time});
    const auto again = Tokens::Parse(tokens.Serialize());
    REQUIRE(again.ok());
    CHECK(again->all()[0].created == time);
  };
  for (int second = 0; second < 86400; second += 61) expect_same(At(second));
  for (int day = 0; day < 366 * 290; day += 17) {
    expect_same(Timestamp(std::chrono::days(day)));
  }
}

TEST_CASE("tokens: only the right secret finds a token") {
  Tokens tokens;
  const Minted minted = Mint();
  tokens.Add({.id = minted.presented.id,
              .identity = "ann",
              .digest = minted.presented.digest,
              .created = At(1)});
  const Tokens::Token* const found = tokens.Find(minted.presented);
  REQUIRE(found != nullptr);
  CHECK(found->identity == "ann");

  // The right id, and another secret.
  std::string wrong = minted.token;
  wrong[30] = wrong[30] == 'A' ? 'B' : 'A';
  const auto other = ParseToken(wrong);
  REQUIRE(other.has_value());
  CHECK(other->id == minted.presented.id);
  CHECK(tokens.Find(*other) == nullptr);
  for (std::size_t i = 0; i < minted.presented.digest.size(); ++i) {
    PresentedToken bit = minted.presented;
    bit.digest.at(i) ^= 1U;
    CHECK(tokens.Find(bit) == nullptr);
  }
  // The right secret, and another id.
  PresentedToken id = minted.presented;
  id.id = "zzzzzzzz";
  CHECK(tokens.Find(id) == nullptr);
  CHECK(Tokens().Find(minted.presented) == nullptr);
}

TEST_CASE("tokens: those that are removed are not found, all others are") {
  Tokens tokens;
  std::vector<Minted> all;
  for (int i = 0; i < 5; ++i) {
    all.push_back(Mint());
    tokens.Add({.id = all.back().presented.id,
                .identity = fmt::format("number-{}", i),
                .digest = all.back().presented.digest,
                .created = At(i)});
  }
  CHECK(tokens.Remove(all[1].presented.id));
  CHECK(!tokens.Remove(all[1].presented.id));
  CHECK(!tokens.Has(all[1].presented.id));
  CHECK(tokens.Remove(all[4].presented.id));
  CHECK(tokens.all().size() == 3);
  for (const std::size_t i : {std::size_t{0}, std::size_t{2}, std::size_t{3}}) {
    const Tokens::Token* const found = tokens.Find(all[i].presented);
    REQUIRE(found != nullptr);
    CHECK(found->identity == fmt::format("number-{}", i));
  }
}

TEST_CASE("tokens: the next expiry is the first one after now") {
  Tokens tokens;
  CHECK(!tokens.NextExpiry(At(0)).has_value());
  tokens.Add({.id = "aaaaaaaa", .identity = "a", .created = At(1)});
  CHECK(!tokens.NextExpiry(At(0)).has_value());
  for (const int second : {30, 10, 20}) {
    tokens.Add({.id = fmt::format("aaaaaa{}", second),
                .identity = "a",
                .created = At(1),
                .expires = At(second)});
  }
  CHECK(tokens.NextExpiry(At(0)) == At(10));
  CHECK(tokens.NextExpiry(At(10)) == At(20));
  CHECK(tokens.NextExpiry(At(29)) == At(30));
  CHECK(!tokens.NextExpiry(At(30)).has_value());
}

TEST_CASE("tokens: one that has expired is found all the same") {
  Tokens tokens;
  const Minted minted = Mint();
  tokens.Add({.id = minted.presented.id,
              .identity = "ann",
              .digest = minted.presented.digest,
              .created = At(1),
              .expires = At(2)});
  REQUIRE(tokens.Find(minted.presented) != nullptr);
  CHECK(tokens.Find(minted.presented)->expires == At(2));
}

TEST_CASE("tokens: an error names line, field, value and what is allowed") {
  const auto line = [](std::string_view id, std::string_view identity,
                       std::string_view digest, std::string_view created,
                       std::string_view expires) {
    return fmt::format("{} {} {} {} {}\n", id, identity, digest, created,
                       expires);
  };
  constexpr std::string_view kTime = "2026-11-29T20:00:00Z";
  const std::string good = line("abcd1234", "ann", kDigest, kTime, "never");
  CHECK(Parsed("# comment\r\n\r\n" + good).all().size() == 1);
  struct Case {
    std::string text;
    std::string_view error;
  };
  std::vector<Case> cases = {
      {good + line("Abcd1234", "ann", kDigest, kTime, "never"),
       "line 2: id: \"Abcd1234\"; must be 8 of a-z 0-9"},
      {line("abc", "ann", kDigest, kTime, "never"),
       "line 1: id: \"abc\"; must"},
      {good + good, "line 2: id: \"abcd1234\" is that of line 1, too"},
      {line("abcd1234", "*", kDigest, kTime, "never"),
       "line 1: identity: \"*\" stands for everyone"},
      {line("abcd1234", "ann", "0123", kTime, "never"),
       "line 1: digest: must be 64 of 0-9 a-f"},
      {line("abcd1234", "ann", std::string(63, '0') + "-", kTime, "never"),
       "line 1: digest: must be 64 of 0-9 a-f"},
      {line("abcd1234", "ann", kDigest, kTime, "soon"),
       "line 1: expires: \"soon\"; must be a time such as "
       "2026-11-29T20:00:00Z, or never"},
      {line("abcd1234", "ann", kDigest, "never", "never"),
       "line 1: created: \"never\"; must be a time"},
      {"abcd1234 ann",
       "line 1: digest: is missing; a line is: id identity "
       "digest created expires"},
      {"abcd1234 ann lee " + std::string(kDigest) + " x y",
       "line 1: \"y\" is one field too many"},
  };
  for (const std::string_view time :
       {"2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "1969-12-31T23:59:59Z",
        "2262-01-01T00:00:00Z", "2026-01-01t00:00:00z", "2026-01-01T00:00:00",
        "2026-01-01T00:00:00.5Z", "+026-01-01T00:00:00Z",
        "infinite-future-2026"}) {
    cases.push_back(
        {line("abcd1234", "ann", kDigest, kTime, time), "line 1: expires: \""});
  }
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const std::string error = ErrorOf(c.text);
    CAPTURE(error);
    CHECK(error.starts_with(c.error));
    CHECK(!Contains(error, kDigest.substr(0, 16)));
  }
}

TEST_CASE("tokens: an error shows no token, wherever it stands") {
  const std::string token = Mint().token;
  const std::string secret = token.substr(19);
  const std::string time = "2026-11-29T20:00:00Z";
  for (const std::string& text :
       {token, fmt::format("{} ann {} {} never", token, kDigest, time),
        fmt::format("abcd1234 ann {} {} never", token, time),
        fmt::format("abcd1234 ann {} {} never", kDigest, token),
        fmt::format("abcd1234 ann {} {} {}", kDigest, time, token),
        fmt::format("abcd1234 ann {} {} never {}", kDigest, time, token)}) {
    CAPTURE(text);
    CHECK(!Contains(ErrorOf(text), secret));
  }
}

}  // namespace
}  // namespace messenger::tokens_test
