// What protobuf makes of fields that the contract does not have.
#pragma once

#include <google/protobuf/message.h>

#include <vector>

namespace messenger::test {

// Whether neither the message nor one within it has a field that it does not
// know.
inline bool KnowsAllFields(const google::protobuf::Message& message) {
  const auto* const reflection = message.GetReflection();
  if (!reflection->GetUnknownFields(message).empty()) return false;
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const auto* const field : fields) {
    using google::protobuf::FieldDescriptor;
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      if (!KnowsAllFields(reflection->GetMessage(message, field))) return false;
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      if (!KnowsAllFields(reflection->GetRepeatedMessage(message, field, i))) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace messenger::test
