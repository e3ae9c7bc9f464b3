#include "apps/gateway/token_digest.h"

#include <openssl/sha.h>

namespace messenger::app {

TokenDigest DigestOf(std::string_view token) {
  TokenDigest digest{};
  static_assert(sizeof digest == SHA256_DIGEST_LENGTH);
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(),
         digest.data());
  return digest;
}

}  // namespace messenger::app
