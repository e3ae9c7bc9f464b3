#include "security/tokens.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <span>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "base/narrow.h"
#include "security/fields.h"
#include "security/rights.h"

namespace messenger {
namespace {

constexpr std::string_view kTokenPrefix = "messenger_";
constexpr std::string_view kIdLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::string_view kSecretLetters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t kIdSize = 8;
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kSecretSize = 43;  // of 32 bytes in base64url
constexpr std::size_t kTokenSize =
    kTokenPrefix.size() + kIdSize + 1 + kSecretSize;

constexpr auto kTokenFields = std::to_array<std::string_view>(
    {"id", "identity", "digest", "created", "expires"});
constexpr std::string_view kNeverExpires = "never";
constexpr std::string_view kTimeForm = "dddd-dd-ddTdd:dd:ddZ";
// Times beyond them may not fit.
constexpr int kFirstYear = 1970;
constexpr int kLastYear = 2261;

bool HasOnly(std::string_view text, std::string_view letters) {
  return text.find_first_not_of(letters) == std::string_view::npos;
}

absl::string_view AbslView(std::string_view text) {
  return {text.data(), text.size()};
}

std::optional<TokenDigest> DigestOf(std::string_view token) {
  TokenDigest digest{};
  static_assert(digest.size() == SHA256_DIGEST_LENGTH);
  // SHA256() would look it up by its name for each call.
  static const EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  if (EVP_Digest(token.data(), token.size(), digest.data(), nullptr, sha256,
                 nullptr) != 1) {
    return std::nullopt;
  }
  return digest;
}

bool FillWithRandomBytes(std::span<unsigned char> bytes) {
  return RAND_bytes(bytes.data(), Narrow<int>(bytes.size())) == 1;
}

// Each letter is as likely as any other one.
bool AppendRandomId(std::string* out) {
  const std::size_t size = out->size() + kIdSize;
  constexpr std::size_t kFair = 256 / kIdLetters.size() * kIdLetters.size();
  while (out->size() < size) {
    std::array<unsigned char, 1> byte{};
    if (!FillWithRandomBytes(byte)) return false;
    if (byte[0] >= kFair) continue;
    out->push_back(kIdLetters[byte[0] % kIdLetters.size()]);
  }
  return true;
}

bool AppendRandomSecret(std::string* out) {
  std::array<unsigned char, kSecretBytes> bytes{};
  if (!FillWithRandomBytes(bytes)) return false;
  std::string secret = absl::WebSafeBase64Escape(absl::string_view(
      reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  out->append(secret);
  OPENSSL_cleanse(bytes.data(), bytes.size());
  OPENSSL_cleanse(secret.data(), secret.size());
  return true;
}

// ---- Fields

absl::Status WrongField(std::string_view name, std::string_view value,
                        std::string_view wanted) {
  return absl::InvalidArgumentError(
      fmt::format("{}: {}; must be {}", name, ShowValue(value), wanted));
}

std::optional<TokenDigest> ParseDigest(std::string_view text) {
  TokenDigest digest{};
  if (text.size() != 2 * digest.size()) return std::nullopt;
  for (std::uint8_t& byte : digest) {
    const std::string_view digits = text.substr(0, 2);
    text.remove_prefix(2);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + 2, byte, 16);
    if (error != std::errc() || end != digits.data() + 2) return std::nullopt;
  }
  return digest;
}

int NumberAt(std::string_view digits, std::size_t offset, std::size_t size) {
  int number = 0;
  std::from_chars(digits.data() + offset, digits.data() + offset + size,
                  number);
  return number;
}

// The one form that is written.
std::optional<Timestamp> ParseSecond(std::string_view text) {
  if (text.size() != kTimeForm.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool fits = kTimeForm[i] == 'd' ? text[i] >= '0' && text[i] <= '9'
                                          : text[i] == kTimeForm[i];
    if (!fits) return std::nullopt;
  }
  const int year = NumberAt(text, 0, 4);
  const std::chrono::year_month_day date = {
      std::chrono::year(year),
      std::chrono::month(Narrow<unsigned>(NumberAt(text, 5, 2))),
      std::chrono::day(Narrow<unsigned>(NumberAt(text, 8, 2)))};
  const int hour = NumberAt(text, 11, 2);
  const int minute = NumberAt(text, 14, 2);
  const int second = NumberAt(text, 17, 2);
  if (year < kFirstYear || year > kLastYear || !date.ok() || hour > 23 ||
      minute > 59 || second > 59) {
    return std::nullopt;
  }
  return std::chrono::sys_days(date) + std::chrono::hours(hour) +
         std::chrono::minutes(minute) + std::chrono::seconds(second);
}

std::string FormatSecond(Timestamp time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(
      std::chrono::floor<std::chrono::seconds>(time - day));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
                     static_cast<std::int64_t>(int{date.year()}),
                     unsigned{date.month()}, unsigned{date.day()},
                     clock.hours().count(), clock.minutes().count(),
                     clock.seconds().count());
}

absl::StatusOr<Tokens::Token> ParseTokenLine(const FieldLine& line) {
  constexpr std::string_view kTime = "a time such as 2026-11-29T20:00:00Z";
  const std::string_view id = line.fields[0].text;
  if (!IsTokenId(id)) return WrongField("id", id, "8 of a-z 0-9");
  const std::string_view identity = line.fields[1].text;
  const absl::Status s = CheckIdentity(identity);
  if (!s.ok()) return s;
  const std::optional<TokenDigest> digest = ParseDigest(line.fields[2].text);
  if (!digest) {
    return absl::InvalidArgumentError("digest: must be 64 of 0-9 a-f");
  }
  const std::string_view created_text = line.fields[3].text;
  const std::optional<Timestamp> created = ParseSecond(created_text);
  if (!created) return WrongField("created", created_text, kTime);
  const std::string_view expires_text = line.fields[4].text;
  const std::optional<Timestamp> expires = ParseSecond(expires_text);
  if (!expires && expires_text != kNeverExpires) {
    return WrongField("expires", expires_text,
                      fmt::format("{}, or never", kTime));
  }
  return Tokens::Token{.id = std::string(id),
                       .identity = std::string(identity),
                       .digest = *digest,
                       .created = *created,
                       .expires = expires};
}

}  // namespace

bool IsTokenId(std::string_view text) {
  return text.size() == kIdSize && HasOnly(text, kIdLetters);
}

std::optional<PresentedToken> ParseToken(std::string_view token) {
  if (token.size() != kTokenSize || !token.starts_with(kTokenPrefix)) {
    return std::nullopt;
  }
  const std::string_view id = token.substr(kTokenPrefix.size(), kIdSize);
  const std::size_t secret = kTokenSize - kSecretSize;
  if (!IsTokenId(id) || token[secret - 1] != '_' ||
      !HasOnly(token.substr(secret), kSecretLetters)) {
    return std::nullopt;
  }
  const std::optional<TokenDigest> digest = DigestOf(token);
  if (!digest) return std::nullopt;
  return PresentedToken{.id = std::string(id), .digest = *digest};
}

absl::StatusOr<std::string> MakeToken() {
  std::string token(kTokenPrefix);
  token.reserve(kTokenSize);
  bool made = AppendRandomId(&token);
  token.push_back('_');
  made = made && AppendRandomSecret(&token);
  if (!made) {
    return absl::InternalError("OpenSSL has no random numbers for a token");
  }
  return token;
}

absl::StatusOr<Tokens> Tokens::Parse(std::string_view text) {
  Tokens parsed;
  std::vector<std::size_t> lines;  // of each token
  const absl::Status s = ForEachFieldLine(
      text, kTokenFields, [&](const FieldLine& line) -> absl::Status {
        absl::StatusOr<Token> token = ParseTokenLine(line);
        if (!token.ok()) return token.status();
        const auto same = parsed.by_id_.find(AbslView(token->id));
        if (same != parsed.by_id_.end()) {
          return absl::InvalidArgumentError(
              fmt::format("id: {} is that of line {}, too",
                          ShowValue(token->id), lines[same->second]));
        }
        lines.push_back(line.number);
        parsed.Add(*std::move(token));
        return absl::OkStatus();
      });
  if (!s.ok()) return s;
  return parsed;
}

std::string Tokens::Serialize() const {
  std::string text =
      "# The tokens of a messenger-server, without their secrets. The command\n"
      "# messenger-server token changes this file; it keeps no other "
      "comments.\n"
      "# id identity sha256 created expires\n";
  for (const Token& token : tokens_) {
    const std::string digest = absl::BytesToHexString(
        absl::string_view(reinterpret_cast<const char*>(token.digest.data()),
                          token.digest.size()));
    text += token.id;
    text.push_back(' ');
    AppendField(token.identity, &text);
    text += fmt::format(" {} {} {}\n", digest, FormatSecond(token.created),
                        token.expires ? FormatSecond(*token.expires)
                                      : std::string(kNeverExpires));
  }
  return text;
}

const Tokens::Token* Tokens::Find(const PresentedToken& presented) const {
  const auto found = by_id_.find(AbslView(presented.id));
  if (found == by_id_.end()) return nullptr;
  const Token& token = tokens_[found->second];
  const bool same = CRYPTO_memcmp(token.digest.data(), presented.digest.data(),
                                  token.digest.size()) == 0;
  return same ? &token : nullptr;
}

std::optional<Timestamp> Tokens::NextExpiry(Timestamp now) const {
  std::optional<Timestamp> next;
  for (const Token& token : tokens_) {
    if (!token.expires || *token.expires <= now) continue;
    if (!next || *token.expires < *next) next = token.expires;
  }
  return next;
}

bool Tokens::Has(std::string_view id) const {
  return by_id_.contains(AbslView(id));
}

void Tokens::Add(Token token) {
  by_id_.emplace(token.id, tokens_.size());
  tokens_.push_back(std::move(token));
}

bool Tokens::Remove(std::string_view id) {
  const auto found = by_id_.find(AbslView(id));
  if (found == by_id_.end()) return false;
  const std::size_t place = found->second;
  by_id_.erase(found);
  tokens_.erase(tokens_.begin() + Narrow<std::ptrdiff_t>(place));
  for (auto& [other, at] : by_id_) {
    if (at > place) --at;
  }
  return true;
}

}  // namespace messenger
