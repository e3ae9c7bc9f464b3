#include "wire/canonical_message.h"

#include "wire/coding.h"

namespace messenger::wire {

CanonicalMessage::CanonicalMessage(std::string_view bytes)
    : CanonicalMessage(bytes, 0) {
  FieldReader fields(bytes);
  while (fields.Next() && IsBeforeProducer(fields.tag())) {
    before_size_ = Narrow<std::uint32_t>(fields.end() - data_);
  }
}

}  // namespace messenger::wire
