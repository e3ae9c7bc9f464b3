// The description of the API, openapi.json, as it is served.
#pragma once

#include <string_view>

namespace messenger::app {

extern const std::string_view kOpenApi;

}  // namespace messenger::app
