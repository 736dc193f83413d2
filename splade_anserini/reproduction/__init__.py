"""An index card as a contract: what it asks for is built, measured, and compared with what it promises."""
