"""All tables in one metadata: importing this module imports every area's models.

The migrations and their drift check read `metadata`; no job needs this module.
"""

from packages.domain.accounts import models as _accounts
from packages.domain.backtest import models as _backtest
from packages.domain.base import Base
from packages.domain.market_data import models as _market_data
from packages.domain.notifications import models as _notifications
from packages.domain.paper_trading import models as _paper_trading
from packages.domain.trade_approval import models as _trade_approval

AREAS = (_accounts, _backtest, _market_data, _notifications, _paper_trading, _trade_approval)
metadata = Base.metadata
