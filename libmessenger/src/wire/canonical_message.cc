#include "wire/canonical_message.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>

#include "wire/coding.h"

namespace messenger::wire {

CanonicalMessage::CanonicalMessage(std::string_view bytes)
    : CanonicalMessage(bytes, 0) {
  FieldReader fields(bytes);
  while (fields.Next() && IsBeforeProducer(fields.tag())) {
    before_size_ = Narrow<std::uint32_t>(fields.end() - data_);
  }
}

ContentHash HashContent(std::string_view canonical) {
  XXH128_canonical_t bytes;
  XXH128_canonicalFromHash(&bytes,
                           XXH3_128bits(canonical.data(), canonical.size()));
  ContentHash hash;
  static_assert(sizeof bytes.digest == sizeof hash);
  std::memcpy(hash.data(), bytes.digest, sizeof hash);
  return hash;
}

}  // namespace messenger::wire
