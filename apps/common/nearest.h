// What somebody may have meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace messenger::app {

// The one of `known` that is nearest to `given`: at most every third character
// is wrong, left out, too much, or the wrong way round with its neighbour; or
// it begins like that. Empty if none is near.
std::string Nearest(std::string_view given,
                    const std::vector<std::string>& known);

}  // namespace messenger::app
