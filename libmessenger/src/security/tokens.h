// Bearer tokens, and the file in which a server keeps what it knows of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "messenger/message.h"

namespace messenger {

// A token is "messenger_ID_SECRET": the id is 8 of a-z 0-9, and may be shown;
// the secret is 32 random bytes in base64url. What is kept is the SHA-256 of
// the whole token: the secret has 256 bits, so that no slower hash is needed.
using TokenDigest = std::array<std::uint8_t, 32>;

// What is kept of a token that a caller has sent: enough to know it again in a
// later file.
struct PresentedToken {
  std::string id;
  TokenDigest digest{};
};

// Nothing if it has not the form of a token. Costs one SHA-256.
std::optional<PresentedToken> ParseToken(std::string_view token);

// Whether `text` has the form of a token's id.
bool IsTokenId(std::string_view text);

// A new token, of random numbers. INTERNAL if OpenSSL has none.
absl::StatusOr<std::string> MakeToken();

// The tokens of one file. A line is the id, the identity (in double quotes if
// it has blanks), the digest in hexadecimal, when it was made, and when it
// expires, or "never": times as 2026-11-29T20:00:00Z. `#`, where a field could
// begin, begins a comment.
//
// Immutable. Thread safety: const members may be called from any thread.
class Tokens {
 public:
  struct Token {
    std::string id;
    std::string identity;
    TokenDigest digest{};
    Timestamp created;
    std::optional<Timestamp> expires;
  };

  // INVALID_ARGUMENT names the line, the field and, unless it is the digest,
  // its value.
  static absl::StatusOr<Tokens> Parse(std::string_view text);
  // As Parse reads it, with a comment that says what it is. Other comments are
  // not kept.
  std::string Serialize() const;

  // The token that was presented, whether it has expired or not; null if it is
  // not there. Digests are compared in constant time.
  const Token* Find(const PresentedToken& presented) const;

  // When the next one of them expires after `now`; nothing if none will.
  std::optional<Timestamp> NextExpiry(Timestamp now) const;

  // In the order of the file.
  const std::vector<Token>& all() const { return tokens_; }

  bool Has(std::string_view id) const;
  // The id is another one than those there are. Times are kept as whole
  // seconds: they have no fractions.
  void Add(Token token);
  // False if there is none with this id.
  bool Remove(std::string_view id);

 private:
  std::vector<Token> tokens_;
  absl::flat_hash_map<std::string, std::size_t> by_id_;  // places in tokens_
};

}  // namespace messenger
