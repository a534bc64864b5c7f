-- The role and the database of the service; psql runs it on the new server.
\getenv password DATABASE_PASSWORD
CREATE ROLE leads LOGIN PASSWORD :'password';
CREATE DATABASE leads OWNER leads TEMPLATE template0 ENCODING 'UTF8';
